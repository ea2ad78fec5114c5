import math

import pytest
import torch

from metarl_gan.adversarial import AdversarialTrainer
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.config import AugmentationConfig, LearnerConfig
from metarl_gan.data_augmentation import GeneratedAugmentation, policy_rows
from metarl_gan.discriminator import discriminator_loss, generator_loss
from metarl_gan.envs.transitions import Transitions
from metarl_gan.generator_learner import AdversarialLearner, NothingToLearn
from metarl_gan.meta_learner import MetaLearner
from metarl_gan.replay import Replay
from metarl_gan.streams import Streams
from metarl_gan.transition_space import Rows
from tests.agents.toys import random_episodes, stream
from tests.metarl_gan.toys import (
    BOX,
    CHOICE,
    OBSERVATIONS,
    Episodes,
    point_goal,
    small_config,
    small_gan,
    trained_gan,
    well_trained_gan,
)

TASKS = ["a", "b", "c"]


def batches(action_space=BOX, seed=0):
    """Support and query `[3, 2, 8]`."""
    found = [random_episodes((3, 2, 8), seed=seed + i) for i in range(2)]
    if action_space is CHOICE:
        found = [random_episodes((3, 2, 8), n_choices=4, seed=seed + i) for i in range(2)]
        found = [type(b)(**{**vars(b), "actions": b.actions + int(CHOICE.start)}) for b in found]
    return found


def a_learner(action_space=BOX, *, seed=0, **changes):
    config = small_config(**changes)
    gan = small_gan(config, action_space=action_space)
    return gan, AdversarialLearner(gan, config, Streams(seed))


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module, before):
    return any(not torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_losses_by_hand():
    zero = torch.zeros(5)
    assert discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(zero).item() == pytest.approx(math.log(2))
    # A discriminator that is right costs nothing; a generator that fools it neither.
    assert discriminator_loss(zero + 50, zero - 50).item() == pytest.approx(0.0, abs=1e-6)
    assert discriminator_loss(zero - 50, zero + 50).item() == pytest.approx(100.0)
    assert generator_loss(zero + 50).item() == pytest.approx(0.0, abs=1e-6)
    assert generator_loss(zero - 50).item() == pytest.approx(50.0)


def each_episode_a_task(episodes):
    """The same data, but context and targets are drawn from one and the same episode."""
    single = [batch.take_envs(slice(i, i + 1)) for batch in episodes.batches for i in range(2)]
    ids = [f"{task_id} {number}" for number in range(4) for task_id in episodes.task_ids]
    twice = Transitions.cat(single, dim="tasks")
    return Episodes(task_ids=ids, batches=(twice, twice))


def reward_errors(gan, episodes):
    """Of encodings from one episode of each task: on that episode, and on another policy's."""
    context, other = (
        Rows(**{name: value[:, 0] for name, value in vars(gan.space.rows(batch)).items()})
        for batch in episodes.batches
    )
    with torch.no_grad():
        encoding = gan.averaged_encoder(context)
    return tuple(float(gan.errors(r, encoding, stream()).reward.mean()) for r in (context, other))


def test_targets_from_the_context_s_own_episode_would_teach_to_recognise_episodes():
    """The trap: such a GAN is better where it was, and far worse wherever else it goes."""
    test = point_goal(40, "test")
    own, elsewhere = reward_errors(well_trained_gan(), test)
    trapped = trained_gan(each_episode_a_task(point_goal(100)), updates=300)
    trapped_own, trapped_elsewhere = reward_errors(trapped, test)
    assert elsewhere < 0.15
    assert elsewhere < 0.7 * trapped_elsewhere
    assert trapped_own < own


def test_the_first_batch_trains_longest_and_updates_are_counted():
    gan, learner = a_learner()
    first = learner.learn(TASKS, batches())
    assert first["gan_updates"] == 3
    assert learner.learn(TASKS, batches(seed=2))["gan_updates"] == 5
    names = {"state_loss", "reward_loss", "terminated_loss", "generator_loss"}
    assert set(first) == names | {"discriminator_loss", "gan_updates"}
    assert all(math.isfinite(value) for value in first.values())
    assert gan.trained
    assert len(learner.replay) == 3


def test_nothing_is_trained_on_before_a_task_has_two_episodes():
    gan, learner = a_learner()
    single = batches()[0].take_envs(slice(0, 1))
    assert learner.learn(TASKS, [single]) == {}
    assert not gan.trained
    assert gan.space.state.count == single.n_valid()
    assert learner.learn(TASKS, batches())["gan_updates"] == 3


def test_no_updates_asked_for_none_made():
    gan, learner = a_learner(adversarial={"initial_updates": 0, "updates_per_iteration": 0})
    before = weights(gan.generator)
    assert learner.learn(TASKS, batches()) == {}
    assert not changed(gan.generator, before)


def one_update(gan, **settings):
    """Generator, encoder, discriminator: which of them an update changes; and its losses."""
    config = small_config(adversarial=settings).adversarial
    replay = Replay(4, 4, torch.device("cpu"))
    for batch in batches():
        gan.space.update(batch)
        replay.add(TASKS, batch)
    trainer = AdversarialTrainer(gan, config, min_context=3)
    parts = [list(part.parameters()) for part in (gan.generator, gan.encoder, gan.discriminator)]
    before = [[parameter.detach().clone() for parameter in part] for part in parts]
    losses = trainer.train(replay, 1, Streams(0))
    moved = [
        any(not torch.equal(*pair) for pair in zip(part, was, strict=True))
        for part, was in zip(parts, before, strict=True)
    ]
    return moved, losses


def test_an_update_moves_generator_encoder_and_discriminator():
    moved, losses = one_update(small_gan())
    assert moved == [True, True, True]
    # Untrained, the discriminator is undecided.
    assert losses["discriminator_loss"] == pytest.approx(2 * 2 * math.log(2), rel=0.2)
    assert losses["generator_loss"] == pytest.approx(math.log(2), rel=0.2)


def test_without_adversarial_weight_there_is_no_discriminator():
    moved, losses = one_update(small_gan(), adversarial_weight=0.0)
    assert moved == [True, True, False]
    assert "discriminator_loss" not in losses
    assert "generator_loss" not in losses


def test_only_the_adversarial_term_left_still_trains_the_generator():
    nothing = {"state_weight": 0.0, "reward_weight": 0.0, "terminated_weight": 0.0}
    assert one_update(small_gan(), **nothing)[0][:2] == [True, True]
    assert one_update(small_gan(), **nothing, adversarial_weight=0.0)[0] == [False] * 3


def test_the_discriminator_is_updated_every_nth_time():
    config = {"discriminator_every": 3, "initial_updates": 1, "updates_per_iteration": 1}
    gan, learner = a_learner(adversarial=config, discriminator={"spectral_norm": False})
    moved = []
    for _ in range(6):
        before = weights(gan.discriminator)
        learner.learn(TASKS, batches())
        moved.append(changed(gan.discriminator, before))
    assert moved == [True, False, False, True, False, False]


def test_the_discriminator_learns_to_tell_real_from_generated():
    frozen = {"state_weight": 0.0, "reward_weight": 0.0, "terminated_weight": 0.0}
    config = {**frozen, "initial_updates": 150, "discriminator_every": 1, "learning_rate": 1e-2}
    _, learner = a_learner(
        adversarial={**config, "adversarial_weight": 1e-12, "updates_per_iteration": 1},
        discriminator={"spectral_norm": False},
        # The encoder and the generator hardly move; the discriminator has all the time it wants.
    )
    learner.learn(TASKS, batches())
    later = learner.learn(TASKS, batches())
    assert later["discriminator_loss"] < 1.0


def test_reconstruction_losses_fall():
    config = {"initial_updates": 1, "updates_per_iteration": 100, "adversarial_weight": 0.0}
    _, learner = a_learner(adversarial=config)

    def learnable(batch):
        state = batch.observations
        following = 0.5 * state + torch.nn.functional.pad(batch.actions, (0, 1))
        ends = state[..., 0] > 1.0
        changes = {"next_observations": following, "rewards": state[..., 1], "terminated": ends}
        return type(batch)(**{**vars(batch), **changes})

    data = [learnable(batch) for batch in batches()]
    first = learner.learn(TASKS, data)
    learner.learn(TASKS, data)
    last = learner.learn(TASKS, data)
    for name in ("state_loss", "reward_loss", "terminated_loss"):
        assert last[name] < 0.5 * first[name], name


def test_counterfactual_contexts_are_strangers_under_this_task_s_reward_head():
    gan, learner = a_learner(adversarial={"counterfactual_share": 1.0})
    learner.learn(TASKS, batches())
    trainer = AdversarialTrainer(gan, small_config().adversarial, 3)
    drawn = learner.replay.sample(5, 4, 4, stream())
    context, targets = trainer._context_and_targets(drawn, True, stream())
    strangers = gan.space.rows(drawn.strangers)
    assert torch.equal(context.states, strangers.states.squeeze(1))
    assert torch.equal(context.actions, strangers.actions.squeeze(1))
    assert not torch.equal(context.rewards, strangers.rewards.squeeze(1))
    plain, same = trainer._context_and_targets(drawn, False, stream())
    assert torch.equal(plain.rewards, gan.space.rows(drawn.context).rewards.squeeze(1))
    assert torch.equal(same.rewards, targets.rewards)


@pytest.mark.parametrize("counterfactual_share", [0.0, 0.5])
def test_restoring_continues_to_the_bit(counterfactual_share):
    changes = {"adversarial": {"counterfactual_share": counterfactual_share}}
    gan, learner = a_learner(**changes)
    learner.learn(TASKS, batches())
    tensors = {name: value.clone() for name, value in learner.tensors().items()}
    kept, counters = weights(gan), learner.counters()
    other_gan, other = a_learner(**changes)
    with torch.no_grad():
        for parameter in other_gan.parameters():
            parameter.add_(1.0)
    other_gan.load_state_dict(kept)
    other.restore(tensors, counters)
    expected = learner.learn(["d", "b", "a"], batches(seed=5))
    assert other.learn(["d", "b", "a"], batches(seed=5)) == expected
    assert not changed(other_gan, weights(gan))
    assert other.counters() == learner.counters()


def test_another_seed_trains_otherwise():
    found = [a_learner(seed=seed)[1].learn(TASKS, batches())["state_loss"] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_each_update_draws_from_its_own_stream(monkeypatch):
    _, learner = a_learner()
    sample, seeds = learner.replay.sample, []
    monkeypatch.setattr(
        learner.replay,
        "sample",
        lambda *args: seeds.append(args[-1].initial_seed()) or sample(*args),
    )
    learner.learn(TASKS, batches())
    learner.learn(TASKS, batches())
    assert seeds == [Streams(0).integer("adversarial", update) for update in range(5)]


def test_the_arm_without_a_generator_learns_nothing_of_it():
    nothing = NothingToLearn()
    assert nothing.learn(TASKS, batches()) == nothing.tensors() == nothing.counters() == {}
    nothing.restore({}, {})


@pytest.mark.parametrize("action_space", [BOX, CHOICE])
@pytest.mark.parametrize("noise_size", [0, 3])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"generator": {"residual": False}},
        {"generator": {"adaptation": "none"}},
        {"discriminator": {"spectral_norm": False}},
        {"adversarial": {"adversarial_weight": 0.0}},
        {"adversarial": {"counterfactual_share": 1.0, "max_context": 3}},
    ],
)
def test_whatever_the_settings_it_trains_infers_imagines_and_adapts(
    action_space, noise_size, changes
):
    generator = {**changes.get("generator", {}), "noise_size": noise_size}
    gan, learner = a_learner(action_space, **{**changes, "generator": generator})
    support, query = batches(action_space)
    assert all(map(math.isfinite, learner.learn(TASKS, [support, query]).values()))
    config = LearnerConfig(inner_steps=2, outer_epochs=1)
    policy = make_policy(OBSERVATIONS, action_space, hidden_sizes=(8,))
    meta_learner = MetaLearner(policy, config, stream())
    augmentation = GeneratedAugmentation(
        gan, policy, AugmentationConfig(mode="fixed", share=0.5, rollout_steps=4), config, 8
    )
    mixture = augmentation.mix(support, stream())
    assert mixture.share.tolist() == [0.5] * 3
    adapted = meta_learner.adapt(mixture.data, 3)
    start = expand_over_tasks(meta_learner.parameters, 3)
    for name, value in adapted.parameters.items():
        assert torch.isfinite(value).all()
        assert not torch.equal(value, start[name])
    assert math.isfinite(meta_learner.update(adapted, policy_rows(query, config))["outer_loss"])

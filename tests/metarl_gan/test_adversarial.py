import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from metarl_gan.adversarial import AdversarialTrainer
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.config import LearnerConfig
from metarl_gan.data_augmentation import GeneratedAugmentation, policy_rows
from metarl_gan.envs.transitions import Transitions
from metarl_gan.generator_adaptation import (
    Layout,
    adapted_weights,
    anchor_losses,
    weighted,
)
from metarl_gan.generator_learner import AdversarialLearner, NothingToLearn
from metarl_gan.learners.gradient import GradientMetaLearner
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
    replace_fields,
    small_config,
    small_gan,
    some_tasks,
    trained_gan,
    well_trained_gan,
)

TASKS = some_tasks("a", "b", "c")


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


def each_episode_a_task(episodes):
    """The same data, but context and targets are drawn from one and the same episode."""
    single = [batch.take_envs(slice(i, i + 1)) for batch in episodes.batches for i in range(2)]
    tasks = some_tasks(*(f"{task.id} {number}" for number in range(4) for task in episodes.tasks))
    twice = Transitions.cat(single, dim="tasks")
    return Episodes(tasks=tasks, batches=(twice, twice))


def reward_errors(gan, episodes):
    """Of encodings from one episode of each task: on that episode, and on another policy's."""
    context, other = (
        Rows(**{name: value[:, 0] for name, value in vars(gan.space.rows(batch)).items()})
        for batch in episodes.batches
    )
    known = gan.encoded(context)
    return tuple(float(gan.errors(r, known, stream()).reward.mean()) for r in (context, other))


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
    names = {"state_loss", "reward_loss", "terminated_loss", "anchor_loss", "generator_loss"}
    names |= {"discriminator_loss", "real_accuracy", "generated_accuracy", "gradient_norm"}
    assert set(first) == names | {"gan_updates", "gan_rollbacks"}
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


def one_update(**settings):
    """Generator, encoder, discriminator: which of them an update changes; and its losses."""
    trainer, replay = with_replay(adversarial=settings)
    gan = trainer.gan
    trained = (gan.generator, gan.encoder, gan.discriminator)
    parts = [[] if part is None else list(part.parameters()) for part in trained]
    before = [[parameter.detach().clone() for parameter in part] for part in parts]
    losses = trainer.train(replay, 1, Streams(0))
    moved = [
        any(not torch.equal(*pair) for pair in zip(part, was, strict=True))
        for part, was in zip(parts, before, strict=True)
    ]
    return moved, losses


def test_an_update_moves_generator_encoder_and_discriminator():
    moved, losses = one_update()
    assert moved == [True, True, True]
    # Untrained, the discriminator is undecided.
    assert losses["discriminator_loss"] == pytest.approx(2 * math.log(2), rel=0.2)
    assert losses["generator_loss"] == pytest.approx(math.log(2), rel=0.2)


def test_without_adversarial_weight_there_is_no_discriminator():
    moved, losses = one_update(adversarial_weight=0.0)
    assert moved == [True, True, False]
    assert "discriminator_loss" not in losses
    assert "generator_loss" not in losses


def test_only_the_adversarial_term_left_still_trains_the_generator():
    nothing = {"state_weight": 0.0, "reward_weight": 0.0, "terminated_weight": 0.0}
    assert one_update(**nothing)[0][:2] == [True, True]
    assert one_update(**nothing, adversarial_weight=0.0)[0] == [False] * 3


def test_the_discriminator_is_updated_every_nth_time():
    config = {"game_every": 3, "initial_updates": 1, "updates_per_iteration": 1}
    gan, learner = a_learner(adversarial=config, discriminator={"spectral_norm": False})
    moved = []
    for _ in range(6):
        before = weights(gan.discriminator)
        learner.learn(TASKS, batches())
        moved.append(changed(gan.discriminator, before))
    assert moved == [True, False, False, True, False, False]


def test_the_discriminator_learns_to_tell_real_from_generated():
    frozen = {"state_weight": 0.0, "reward_weight": 0.0, "terminated_weight": 0.0}
    config = {**frozen, "initial_updates": 150, "game_every": 1, "learning_rate": 1e-2}
    _, learner = a_learner(
        adversarial={**config, "adversarial_weight": 1e-12, "updates_per_iteration": 1},
        discriminator={"spectral_norm": False},
        # The encoder and the generator hardly move; the discriminator has all the time it wants.
    )
    learner.learn(TASKS, batches())
    later = learner.learn(TASKS, batches())
    assert later["discriminator_loss"] < 1.0


def test_reconstruction_losses_fall():
    config = {"initial_updates": 1, "updates_per_iteration": 150, "adversarial_weight": 0.0}
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


def test_counterfactual_contexts_are_strangers_under_this_task_s_generator(monkeypatch):
    gan, learner = a_learner(adversarial={"counterfactual_share": 1.0})
    learner.learn(TASKS, batches())
    drawn = learner.replay.sample(5, 4, 4, stream())
    monkeypatch.setattr(learner.replay, "sample", lambda *_, **__: drawn)
    found, same = (
        AdversarialTrainer(
            gan, small_config(adversarial={"counterfactual_share": share, "tasks_per_update": 5})
        )._draw(learner.replay, 1, Streams(0))[0]
        for share in (1.0, 0.0)
    )
    n_rows = found.context.states.shape[1]
    assert n_rows >= 3
    strangers, context = (
        Rows(**{name: v[:, 0, :n_rows] for name, v in vars(gan.space.rows(rows)).items()})
        for rows in (drawn.strangers, drawn.context)
    )
    assert torch.equal(found.context.states, strangers.states)
    assert torch.equal(found.context.actions, strangers.actions)
    rng = Streams(0).torch("adversarial-draws", 0)
    expected = gan.generate(gan.encoded(context), strangers.states, strangers.actions, rng)
    assert torch.equal(found.context.rewards, expected.rewards)
    assert torch.equal(found.context.changes, expected.changes)
    assert set(found.context.terminated.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(same.context.rewards, context.rewards)
    assert torch.equal(same.targets.rewards, found.targets.rewards)


def with_replay(**changes):
    """A trainer whose GAN has seen the batches, and a replay of them."""
    config = small_config(**changes)
    gan, replay = small_gan(config), Replay(4, 4, torch.device("cpu"))
    for batch in batches():
        gan.space.update(batch)
        replay.add([task.id for task in TASKS], batch)
    return AdversarialTrainer(gan, config), replay


def a_trainer(**changes):
    """A trainer, and what an update of it learns from."""
    trainer, replay = with_replay(**changes)
    [drawn] = trainer._draw(replay, 1, Streams(0))
    return trainer, drawn


WINDOW = 5
"""More steps than the shorter episodes have."""


@pytest.mark.parametrize("adaptation", ["none", "maml"])
@pytest.mark.parametrize("members", [1, 2])
def test_a_window_is_rolled_out_from_its_first_state_under_the_real_actions(adaptation, members):
    trainer, drawn = a_trainer(
        generator={"members": members, "adaptation": adaptation},
        discriminator={"window_steps": WINDOW},
        adversarial={"tasks_per_update": 5, "targets_per_task": 4},
    )
    gan, space, targets = trainer.gan, trainer.gan.space, drawn.targets
    encoding = gan.encoder(drawn.context).encoding
    conditioned = trainer._condition(encoding, drawn.context)
    found = trainer._rolled_out(conditioned, targets, stream(1))
    real = trainer._real(targets)
    assert found.shape == real.shape == (members * 5, 4, WINDOW * (3 + 2 + 3 + 1 + 1))
    rng, adapted = stream(1), adaptation == "maml"
    shape = (members * 5, 4) if adapted else (members, 5 * 4)
    draws = [
        (
            torch.randn((*shape, gan.generator.noise_size), generator=rng),
            torch.rand((*shape, 1), generator=rng),
        )
        for _ in range(WINDOW)
    ]
    whole = targets.valid.view(5, 4, WINDOW).all(-1)
    assert 0 < whole.sum() < whole.numel()
    for member, task, window in np.ndindex(members, 5, 4):
        row = found[member * 5 + task, window]
        if not whole[task, window]:
            assert torch.equal(row, real[member * 5 + task, window])
            continue
        batch, place = (member * 5 + task, window) if adapted else (member, 4 * task + window)
        weights = {name: value[[batch]] for name, value in conditioned.weights.items()}
        state, expected = targets.states[task, WINDOW * window], []
        for time, (noise, chance) in enumerate(draws):
            action = targets.actions[task, WINDOW * window + time]
            inputs = (state, action, encoding[task], noise[batch, place])
            made = gan.generator.generate(weights, *(value.view(1, 1, -1) for value in inputs))
            ends = (chance[batch, place] < torch.sigmoid(made.terminated_logits)).float()
            parts = (state, action, made.changes, made.rewards, ends)
            expected += [part.flatten() for part in parts]
            reached = space.next_states(space.state.denormalise(state), made.changes.flatten())
            state = space.state.normalise(reached)
        torch.testing.assert_close(row, torch.cat(expected), rtol=1e-3, atol=1e-4)


def test_a_window_s_gradient_reaches_the_generator_through_all_its_steps():
    trainer, drawn = a_trainer(discriminator={"window_steps": 3})
    encoding = trainer.gan.encoder(drawn.context).encoding.detach()
    conditioned = trainer._condition(encoding, drawn.context)
    found = trainer._rolled_out(conditioned, drawn.targets, stream(1))
    # The last step's state depends on the generator by the steps before it alone.
    state = found.unflatten(-1, (3, -1))[:, :, 2, :3]
    weight = trainer.gan.generator.weights()["dynamics.weight_0"]
    (gradient,) = torch.autograd.grad(state.square().sum(), [weight], retain_graph=True)
    assert gradient.abs().max() > 0
    ends = found.unflatten(-1, (3, -1))[:, :, 0, -1]
    assert set(ends.detach().round(decimals=5).unique().tolist()) == {0.0, 1.0}
    bias = trainer.gan.generator.weights()["dynamics.bias_1"]
    (gradient,) = torch.autograd.grad(ends.sum(), [bias])
    assert gradient[0, -1] > 0
    assert gradient[0, :-1].abs().max() == 0


@pytest.mark.parametrize("steps", [1, 3])
def test_reptile_s_gradient_is_the_way_to_where_the_tasks_end(steps):
    """(w - mean of the adapted) / (lr steps); for one step it is the gradient itself."""
    lr = 0.1
    trainer, drawn = a_trainer(
        generator={
            "adaptation": "reptile",
            "adaptation_steps": steps,
            "adaptation_lr": lr,
            "members": 2,
        },
        adversarial={"adversarial_weight": 0.0},
    )
    gan, settings = trainer.gan, trainer.config.generator
    encoding = gan.encoder(drawn.context).encoding
    conditioned = trainer._condition(encoding, drawn.context)
    loss = trainer._anchor(conditioned, drawn.targets, stream())["anchor_loss"]
    weights = gan.generator.weights()
    found = torch.autograd.grad(loss, list(weights.values()), retain_graph=True)
    start = {name: value.detach() for name, value in weights.items()}
    ends = adapted_weights(
        gan.generator, start, encoding.detach(), drawn.targets, settings, gan.anchor
    )
    for (name, value), gradient in zip(start.items(), found, strict=True):
        mean = ends[name].unflatten(0, (2, -1)).mean(1)
        torch.testing.assert_close(gradient, (value - mean) / (lr * steps), rtol=1e-4, atol=1e-5)
    if steps == 1:
        layout = Layout(n_members=2, n_tasks=len(encoding), adapted=False)
        losses = anchor_losses(
            gan.generator, weights, encoding.detach(), drawn.targets, layout, None
        )
        own = weighted(losses, gan.anchor).mean(1).sum()
        expected = torch.autograd.grad(own, list(weights.values()))
        for gradient, other in zip(found, expected, strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-2, atol=1e-4)
    # The encoder learns from the reconstruction all the same.
    (of_encoding,) = torch.autograd.grad(loss, [encoding])
    assert of_encoding.abs().max() > 0


def test_maml_s_loss_is_after_the_step_on_the_context_and_its_gradient_is_through_it():
    trainer, drawn = a_trainer(
        generator={"adaptation": "maml", "adaptation_lr": 0.2, "adaptation_steps": 2, "members": 2}
    )
    gan, n_tasks = trainer.gan, 8
    encoding = gan.encoder(drawn.context).encoding
    conditioned = trainer._condition(encoding, drawn.context)
    loss = trainer._anchor(conditioned, drawn.targets, stream())["anchor_loss"]
    weights = gan.generator.weights()
    ends = adapted_weights(
        gan.generator,
        weights,
        encoding,
        drawn.context,
        trainer.config.generator,
        gan.anchor,
        differentiable=True,
    )
    layout = Layout(n_members=2, n_tasks=n_tasks, adapted=True)
    losses = anchor_losses(gan.generator, ends, encoding, drawn.targets, layout, stream())
    expected = weighted(losses, gan.anchor).mean(1).sum()
    torch.testing.assert_close(loss, expected)
    into = [*weights.values(), encoding]
    found, wanted = (
        torch.autograd.grad(value, into, retain_graph=True) for value in (loss, expected)
    )
    for gradient, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, other)
        assert gradient.abs().max() > 0
    # What plays against the discriminator is adapted, too.
    generated = trainer._rolled_out(conditioned, drawn.targets, stream())
    assert generated.shape[0] == 2 * n_tasks
    of_game = torch.autograd.grad(generated.square().sum(), list(weights.values()))
    assert all(gradient.abs().max() > 0 for gradient in of_game)


def test_members_learn_as_if_alone():
    """A member's step does not depend on how many others there are: losses are sums of them."""
    trainer, drawn = a_trainer(
        generator={"members": 2, "noise_size": 0}, adversarial={"adversarial_weight": 0.0}
    )
    generator, encoding = trainer.gan.generator, torch.zeros(8, 3)
    conditioned = trainer._condition(encoding, drawn.context)
    loss = trainer._anchor(conditioned, drawn.targets, stream())["anchor_loss"]
    weights = generator.weights()
    together = torch.autograd.grad(loss, list(weights.values()))
    for member in range(2):
        own = {name: v[[member]].detach().requires_grad_(True) for name, v in weights.items()}
        layout = Layout(n_members=1, n_tasks=8, adapted=False)
        losses = anchor_losses(generator, own, encoding, drawn.targets, layout, stream())
        alone = torch.autograd.grad(
            weighted(losses, trainer.gan.anchor).mean(1).sum(), list(own.values())
        )
        for gradient, found in zip(together, alone, strict=True):
            torch.testing.assert_close(gradient[[member]], found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_discriminator_takes_its_steps_before_the_generator_answers(steps, monkeypatch):
    trainer, drawn = a_trainer(discriminator={"steps": steps})
    calls, optimiser = [], trainer.discriminator_optimiser
    assert optimiser is not None
    assert trainer._game is not None
    step, answer = optimiser.step, trainer._game.generator_loss
    monkeypatch.setattr(optimiser, "step", lambda: calls.append("step") or step())
    monkeypatch.setattr(
        trainer._game, "generator_loss", lambda *args: calls.append("answer") or answer(*args)
    )
    encoding = trainer.gan.encoder(drawn.context).encoding
    conditioned = trainer._condition(encoding, drawn.context)
    trainer._play(trainer._game, conditioned, drawn.targets, stream())
    assert calls == ["step"] * steps + ["answer"]


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
    expected = learner.learn(some_tasks("d", "b", "a"), batches(seed=5))
    assert other.learn(some_tasks("d", "b", "a"), batches(seed=5)) == expected
    assert not changed(other_gan, weights(gan))
    assert other.counters() == learner.counters()


def test_another_seed_trains_otherwise():
    found = [a_learner(seed=seed)[1].learn(TASKS, batches())["state_loss"] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_each_update_draws_from_its_own_stream(monkeypatch):
    _, learner = a_learner()
    update, seeds = AdversarialTrainer._update, []

    def watched(trainer, batch, rng):
        seeds.append(rng.initial_seed())
        return update(trainer, batch, rng)

    monkeypatch.setattr(AdversarialTrainer, "_update", watched)
    learner.learn(TASKS, batches())
    learner.learn(TASKS, batches())
    assert seeds == [Streams(0).integer("adversarial", update) for update in range(5)]


def test_batches_that_are_drawn_at_once_have_their_own_tasks_and_sizes():
    trainer, replay = with_replay(adversarial={"tasks_per_update": 5, "max_context": 6})
    drawn = trainer._draw(replay, 12, Streams(0))
    sizes = {batch.context.states.shape[:2] for batch in drawn}
    assert {(5, 3), (5, 5)} <= sizes <= {(5, n) for n in (3, 4, 5, 6)}
    assert {batch.targets.states.shape[:2] for batch in drawn} == {(5, 4)}
    for rows in ("context", "targets"):
        assert len({float(getattr(batch, rows).states.sum()) for batch in drawn}) == 12


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
        {"generator": {"adaptation": "maml", "members": 2}},
        {"generator": {"adaptation": "reptile"}},
        {"generator": {"members": 3, "elites": 2}},
        {"generator": {"kind": "ensemble", "members": 2}},
        {"generator": {"kind": "diffusion", "diffusion_steps": 2}},
        {"discriminator": {"window_steps": 2, "packing": 2}},
        {"discriminator": {"spectral_norm": False}},
        {"adversarial": {"adversarial_weight": 0.0}},
        {"adversarial": {"counterfactual_share": 1.0, "max_context": 3}},
    ],
)
def test_whatever_the_settings_it_trains_infers_imagines_and_adapts(
    action_space, noise_size, changes
):
    generator = {**changes.get("generator", {}), "noise_size": noise_size}
    config = small_config(**{**changes, "generator": generator})
    gan = small_gan(config, action_space=action_space)
    learner = AdversarialLearner(gan, config, Streams(0))
    support, query = batches(action_space)
    assert all(map(math.isfinite, learner.learn(TASKS, [support, query]).values()))
    learner_config = LearnerConfig(inner_steps=2, outer_epochs=1)
    policy = make_policy(OBSERVATIONS, action_space, hidden_sizes=(8,))
    meta_learner = GradientMetaLearner(policy, learner_config, stream())
    fixed = {"mode": "fixed", "share": 0.5, "rollout_steps": 4}
    config = replace(config, learner=learner_config)
    config = replace_fields(config, {"augmentation": fixed})
    augmentation = GeneratedAugmentation(gan, policy, config, 8)
    mixture = augmentation.mix(support, stream())
    assert mixture.share.tolist() == [0.5] * 3
    adapted = meta_learner.adapt(mixture, 3)
    start = expand_over_tasks(meta_learner.parameters, 3)
    for name, value in adapted.parameters.items():
        assert torch.isfinite(value).all()
        assert not torch.equal(value, start[name])
    assert math.isfinite(
        meta_learner.outer_loop(adapted, policy_rows(query, learner_config))["outer_loss"]
    )

"""Where generated rows come from: the generator, weighed by its discriminator, or a simulator."""

from dataclasses import replace

import pytest
import torch

from metarl_gan.adversarial_game import AdversarialGame
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.config import LearnerConfig
from metarl_gan.data_augmentation import GeneratedAugmentation
from metarl_gan.discriminator import judged_inputs
from metarl_gan.dreams import GeneratedDream, SimulatedDream, policy_rows
from tests.agents.toys import random_episodes, same_rows, stream
from tests.metarl_gan import tiny
from tests.metarl_gan.toys import BOX, OBSERVATIONS, known, replace_fields, small_config, small_gan

LEARNER = LearnerConfig()
N_STEPS = 5


def a_dream(**changes):
    """Of two tasks, three rollouts each; and parameters of a policy to dream under."""
    config = small_config(**changes)
    gan = small_gan(config)
    gan.space.update(random_episodes((2, 2, 8)))
    gan.average()
    policy = make_policy(OBSERVATIONS, BOX, hidden_sizes=(8,))
    dream = GeneratedDream(
        gan=gan,
        policy=policy,
        learner=LEARNER,
        context=known(torch.randn(2, 3, generator=stream(1))),
        n_rollouts=3,
        n_steps=N_STEPS,
        stream=stream(2),
        window_steps=config.discriminator.window_steps,
    )
    assert gan.discriminator is not None
    game = AdversarialGame(gan.discriminator, config.discriminator)
    return dream, game, expand_over_tasks(policy.initial_parameters(stream()), 2)


def again(dream):
    """The same dream, from the beginning of its stream."""
    return replace(dream, stream=stream(2))


def test_rows_are_those_of_the_rollouts():
    dream, _, parameters = a_dream()
    found = again(dream).rows(parameters)
    expected = policy_rows(again(dream).rollouts(parameters), LEARNER)
    assert same_rows(found, expected)
    # And asked once more, it dreams something else.
    assert not torch.equal(dream.rows(parameters).actions, dream.rows(parameters).actions)


def only(windows, n):
    """The windows `[windows, size]` over again until they are `n`, as one task."""
    return windows.repeat(n, 1)[:n].unsqueeze(0)


@pytest.mark.parametrize("window", [1, 2])
def test_rows_count_by_how_probably_the_discriminator_lets_them_pass(window):
    dream, game, parameters = a_dream(
        discriminator={"window_steps": window, "spectral_norm": False}
    )
    rollouts, plain = again(dream).rollouts(parameters), again(dream).rows(parameters)
    weighed = replace(again(dream), game=game).rows(parameters)
    rows = dream.gan.space.rows(rollouts)
    judged = judged_inputs(rows.states, rows.actions, rows.changes, rows.rewards, rows.terminated)
    # Five steps have five windows of one, or two of two and a step that nobody judges.
    n_windows = N_STEPS // window
    windows = judged[:, :, : n_windows * window].reshape(2, 3, n_windows, -1)
    whole = rollouts.valid[:, :, : n_windows * window].reshape(2, 3, n_windows, window).all(-1)
    assert 0 < whole.sum() < whole.numel()
    accepted = torch.ones(2, 3, n_windows)
    for task, of_task in enumerate(whole):
        accepted[task][of_task] = game.acceptance(
            only(windows[task][of_task], int(of_task.numel())), dream.context.encoding[[task]]
        )[0, : of_task.sum()]
    expected = plain.weights.clone().view(2, 3, N_STEPS)
    for step in range(n_windows * window):
        expected[:, :, step] *= accepted[:, :, step // window]
    expected = expected.flatten(1) / expected.flatten(1).sum(-1, keepdim=True)
    torch.testing.assert_close(weighed.weights, expected)
    assert weighed.weights.sum(-1).tolist() == pytest.approx([1.0, 1.0])
    assert (weighed.weights[plain.weights == 0] == 0).all()
    assert not torch.allclose(weighed.weights, plain.weights)
    for name in ("observations", "actions", "log_probs", "advantages"):
        assert torch.equal(getattr(weighed, name), getattr(plain, name))


def test_of_a_discriminator_that_tells_nothing_apart_all_rows_count_the_same():
    dream, game, parameters = a_dream(discriminator={"hidden_sizes": (), "spectral_norm": False})
    with torch.no_grad():
        for parameter in game._discriminator.parameters():
            parameter.zero_()
    found = replace(again(dream), game=game).rows(parameters)
    torch.testing.assert_close(found.weights, again(dream).rows(parameters).weights)


def test_what_the_discriminator_likes_best_counts_most():
    """Its taste is the reward: what comes after the end of a rollout is no matter of taste."""
    dream, game, parameters = a_dream(discriminator={"hidden_sizes": (), "spectral_norm": False})
    weight, bias = game._discriminator.parameters()
    with torch.no_grad():
        weight.zero_()
        bias.zero_()
        weight.view(-1)[3 + 2 + 3] = 100.0
    rewards = again(dream).rollouts(parameters).rewards.flatten(1)
    found = replace(again(dream), game=game).rows(parameters).weights
    for task in range(2):
        valid = again(dream).rows(parameters).weights[task] > 0
        kept, seen = found[task][valid], rewards[task][valid]
        by_reward = kept[seen.argsort()]
        assert (by_reward.diff() >= -1e-6).all()
        assert by_reward[0] < 0.6 * by_reward[-1]


@pytest.mark.parametrize("rejection", [False, True])
def test_rejection_is_a_setting(rejection):
    dream, _, _ = a_dream()
    config = replace_fields(small_config(), {"augmentation": {"rejection": rejection}})
    augmentation = GeneratedAugmentation(dream.gan, dream.policy, config, 6)
    support = random_episodes((2, 2, 8))
    made = augmentation.dream(support, dream.context, stream())
    assert (made.game is not None) == rejection


def a_simulation(family, tasks):
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(8,))
    pool = EnvironmentPool(family)
    dream = SimulatedDream(tasks, pool, policy, LEARNER, n_rollouts=3, n_steps=4, stream=stream(2))
    return dream, pool, expand_over_tasks(policy.initial_parameters(stream()), len(tasks))


def test_a_simulator_s_rows_are_the_environment_s(monkeypatch):
    monkeypatch.setattr(tiny.Walk, "total_steps", 0)
    family = tiny.walk()
    tasks = [family.task(goal=-0.5), family.task(goal=0.5)]
    dream, pool, parameters = a_simulation(family, tasks)
    first, second = (dream.rows(parameters) for _ in range(2))
    pool.close()
    assert dream.steps == tiny.Walk.total_steps > 0
    assert not torch.equal(first.actions, second.actions)
    for rows in (first, second):
        assert rows.observations.shape == (2, 3 * 4, 2)
        where, time = rows.observations.unflatten(1, (3, 4)).unbind(-1)
        actions = rows.actions.unflatten(1, (3, 4)).squeeze(-1).clamp(-1.0, 1.0)
        valid = rows.weights.unflatten(1, (3, 4)) > 0
        assert valid[:, :, :3].all()  # a walk lasts three steps at least
        assert where[:, :, 0].abs().max() <= 0.1
        torch.testing.assert_close(time, (torch.arange(4) / 10).expand_as(time) * valid)
        reached = (where + actions)[:, :, :-1][valid[:, :, 1:]]
        torch.testing.assert_close(where[:, :, 1:][valid[:, :, 1:]], reached)


def test_a_simulator_that_breaks_says_so():
    family = tiny.faulty()
    tasks = [family.task(goal=0.5, fault=0), family.task(goal=0.5, fault=1)]
    dream, pool, parameters = a_simulation(family, tasks)
    with pytest.raises(ValueError, match=r"simulator of task faulty/.*fault=1 broke.*reward nan"):
        dream.rows(parameters)
    pool.close()
    assert dream.steps > 0

import pytest
import torch

from metarl_gan.agents.collector import collect
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import (
    MixedRows,
    inner_step,
    policy_gradient,
    surrogate_loss,
)
from metarl_gan.config import Config, LearnerConfig
from metarl_gan.data_augmentation import NoAugmentation
from metarl_gan.dreams import policy_rows
from metarl_gan.learners.gradient import GradientMetaLearner
from metarl_gan.meta_learner import Adapted
from tests.agents.toys import BANDITS, TARGETS, stream
from tests.metarl_gan.learners.gradient_cases import (
    N_TASKS,
    Given,
    a_learner,
    gradients,
    outer_loss,
)

VARIANTS = [
    {},
    {"entropy_bonus": 0.3},
    {"inner_lr_per": "parameter"},
    {"estimator": "dice"},
    {"estimator": "naive"},
    {"checkpoint_inner_steps": True},
]


@pytest.mark.parametrize("n_choices", [None, 3])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_maml_gradient_equals_central_differences(n_choices, variant):
    settings = {"inner_lr": 0.5, "outer_clip": 5.0, **variant}
    learner, drawn, query = a_learner(n_choices=n_choices, **settings)
    learnt, found = gradients(learner, drawn, query)
    step = 1e-6
    for name, value in learnt.items():
        flat = value.data.view(-1)
        for index in range(min(flat.numel(), 4)):
            sides = []
            for sign in (1, -1):
                flat[index] += sign * step
                sides.append(float(outer_loss(learner, drawn, query).detach()))
                flat[index] -= sign * step
            expected = (sides[0] - sides[1]) / (2 * step)
            assert float(found[name].flatten()[index]) == pytest.approx(
                expected, rel=1e-5, abs=1e-8
            ), (name, index)
    assert all(value.abs().max() > 1e-5 for value in found.values())


def adapted_by_hand(learner, drawn):
    """Two inner steps, and the gradient and the parameters of each."""
    parameters = {k: v.detach() for k, v in expand_over_tasks(learner.parameters, N_TASKS).items()}
    sizes = {name: value.detach().exp() for name, value in learner.step_sizes.items()}
    taken = []
    for rows in drawn:
        gradient = policy_gradient(learner.policy, parameters, rows, learner.config.inner_clip)
        parameters = inner_step(parameters, gradient, sizes)
        taken.append(gradient)
    return parameters, taken, sizes


def test_first_order_gradient_is_the_one_at_the_adapted_parameters():
    learner, drawn, query = a_learner(algorithm="fomaml", inner_lr=0.5)
    _, found = gradients(learner, drawn, query)
    adapted, taken, sizes = adapted_by_hand(learner, drawn)
    adapted = {name: value.requires_grad_(True) for name, value in adapted.items()}
    loss = surrogate_loss(learner.policy, adapted, query, learner.config.outer_clip).mean()
    there = dict(zip(adapted, torch.autograd.grad(loss, list(adapted.values())), strict=True))
    for name, value in there.items():
        torch.testing.assert_close(found[name], value.sum(0))
        # The parameters move against step size times gradient, hence the step size this way.
        total = sum((gradient[name] * value).sum() for gradient in taken)
        torch.testing.assert_close(found[f"step size of {name}"], -sizes[name] * total)
    second_order, _, _ = a_learner(algorithm="maml", inner_lr=0.5)
    _, maml = gradients(second_order, drawn, query)
    for name in there:
        assert (maml[name] - found[name]).abs().max() > 0.01 * found[name].abs().max()


def test_reptile_goes_part_of_the_way_to_where_the_tasks_end():
    learner, drawn, query = a_learner(algorithm="reptile", reptile_step=0.25, inner_lr=0.5)
    before = {name: value.detach().clone() for name, value in learner.parameters.items()}
    adapted, _, sizes = adapted_by_hand(learner, drawn)
    gradient = policy_gradient(
        learner.policy, adapted, MixedRows(real=query), learner.config.inner_clip
    )
    ends = inner_step(adapted, gradient, sizes)
    learner.outer_loop(learner.inner_loop(Given(*drawn), N_TASKS), query)
    for name, value in learner.parameters.items():
        expected = before[name] + 0.25 * (ends[name].mean(0) - before[name])
        torch.testing.assert_close(value.detach(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adapting_all_tasks_at_once_equals_a_loop_over_tasks(dtype):
    learner, drawn, _ = a_learner(dtype=dtype)
    together = learner.inner_loop(Given(*drawn), N_TASKS)
    for task in range(N_TASKS):
        index = torch.tensor([task])
        alone = learner.inner_loop(Given(*[rows.select(index) for rows in drawn]), 1)
        for name, value in alone.parameters.items():
            torch.testing.assert_close(
                value[0], together.parameters[name][task], rtol=1e-6, atol=1e-6
            )


def test_the_outer_loop_differentiates_the_very_adaptation_that_was_played():
    learner, drawn, query = a_learner()
    adapted = learner.inner_loop(Given(*drawn), N_TASKS)
    assert adapted.drawn == drawn
    expected = surrogate_loss(
        learner.policy, adapted.parameters, query, learner.config.outer_clip
    ).mean()
    torch.testing.assert_close(outer_loss(learner, drawn, query).detach(), expected)


def test_a_share_of_zero_adapts_and_learns_as_without_generated_rows_to_the_bit():
    results = []
    for generated in (True, False):
        learner, drawn, query = a_learner(dtype=torch.float32)
        shares = torch.zeros(N_TASKS)
        steps = tuple(
            MixedRows(real=rows.real, generated=rows.generated, share=shares)
            if generated
            else MixedRows(real=rows.real)
            for rows in drawn
        )
        adapted = learner.inner_loop(Given(*steps), N_TASKS)
        learner.outer_loop(adapted, query)
        results.append((adapted.parameters, learner.tensors()))
    for part in range(2):
        for name, value in results[0][part].items():
            assert torch.equal(value, results[1][part][name]), name


def test_selecting_tasks_selects_all_that_adaptation_left():
    learner, drawn, query = a_learner()
    adapted = learner.inner_loop(Given(*drawn), N_TASKS)
    assert adapted.select(torch.arange(N_TASKS)) is adapted
    kept = torch.tensor([0, 2])
    some = adapted.select(kept)
    for name, value in some.parameters.items():
        assert torch.equal(value, adapted.parameters[name][kept])
    share = some.drawn[0].share
    assert share is not None
    assert share.tolist() == [0.0, 0.9]
    assert some.drawn[1].real.advantages.shape == (2, 12)
    learner.outer_loop(some, query.select(kept))


@pytest.mark.parametrize("learn_inner_lr", [True, False])
def test_step_sizes_are_learnt_only_if_asked(learn_inner_lr):
    learner, drawn, query = a_learner(dtype=torch.float32, learn_inner_lr=learn_inner_lr)
    before = {name: value.detach().clone() for name, value in learner.step_sizes.items()}
    metrics = learner.outer_loop(Adapted(parameters={}, drawn=drawn), query)
    changed = [not torch.equal(v, before[name]) for name, v in learner.step_sizes.items()]
    assert all(changed) if learn_inner_lr else not any(changed)
    assert metrics["outer_gain"] > 0
    assert metrics["meta_gradient_norm"] > 0


@pytest.mark.parametrize("algorithm", ["maml", "reptile"])
def test_restoring_continues_as_if_never_stopped(algorithm):
    learner, drawn, query = a_learner(dtype=torch.float32, algorithm=algorithm)
    learner.outer_loop(learner.inner_loop(Given(*drawn), N_TASKS), query)
    kept = {name: value.clone() for name, value in learner.tensors().items()}
    other, _, _ = a_learner(dtype=torch.float32, algorithm=algorithm)
    other.restore(kept)
    for one in (learner, other):
        one.outer_loop(one.inner_loop(Given(*drawn), N_TASKS), query)
    for name, value in learner.tensors().items():
        assert torch.equal(value, other.tensors()[name]), name


def meta_train(family, algorithm, bias, *, iterations, **settings):
    """Meta-train a linear policy from a start with the given bias; the learner and a player."""
    config = LearnerConfig(algorithm=algorithm, inner_steps=3, **settings)
    policy = make_policy(
        family.observation_space, family.action_space, hidden_sizes=(), initial_std=3.0
    )
    learner = GradientMetaLearner(policy, config, stream())
    with torch.no_grad():
        learner.parameters["bias_0"].copy_(torch.tensor(bias))
    augmentation = NoAugmentation(Config(learner=config))

    def play(tasks, parameters, seed):
        venv = family.make_vec(tasks, 20)
        return collect(venv, policy, parameters, stream(seed), seed=seed).batch

    def adapt(tasks, seed):
        support = play(tasks, learner.initial_policy(len(tasks)), seed)
        return learner.adapt(augmentation.mix(support, stream()), len(tasks))

    for iteration in range(iterations):
        tasks = family.sample(10, seed=iteration)
        adapted = adapt(tasks, 2 * iteration)
        query = play(tasks, adapted.parameters, 2 * iteration + 1)
        learner.outer_loop(adapted, policy_rows(query, config))
    tasks = family.sample(20, split="test", seed=0)
    return policy, learner, tasks, adapt(tasks, 10_000).parameters


ONE = torch.ones(20, 1, 1)
"""The observation of both families, for 20 tasks."""


@pytest.mark.parametrize("algorithm", ["maml", "fomaml", "reptile"])
def test_two_armed_bandits_are_solved_from_a_start_that_prefers_one_arm(algorithm):
    settings = {"inner_lr": 1.0, "outer_lr": 0.02, "learn_inner_lr": algorithm == "maml"}
    policy, learner, tasks, adapted = meta_train(
        BANDITS, algorithm, [1.5, 0.0], iterations=50, **settings
    )
    better = torch.tensor([[int(task.parameters["better"] > 0)] for task in tasks])
    right = policy.log_probs(adapted, ONE, better).exp()
    assert right.min() > 0.9
    # The start that serves both kinds of task tries both arms: it was .18 at first.
    start = policy.log_probs(learner.initial_policy(20), ONE, better).exp()
    assert start.min() > 0.2


@pytest.mark.parametrize("algorithm", ["maml", "fomaml", "reptile"])
def test_quadratic_targets_are_hit_from_a_start_beside_all_of_them(algorithm):
    settings = {"inner_lr": 3.0, "outer_lr": 0.2, "learn_inner_lr": False}
    misses, starts = [], []
    for iterations in (0, 30):
        policy, learner, tasks, adapted = meta_train(
            TARGETS, algorithm, [8.0], iterations=iterations, **settings
        )
        targets = torch.tensor([float(task.parameters["target"]) for task in tasks])
        misses.append((policy.mode(adapted, ONE).flatten() - targets).abs().mean())
        starts.append(policy.mode(learner.initial_policy(20), ONE)[0].abs())
    # Targets are uniform on [-5, 5]: 0 is the best start, 2.5 away from them on average.
    assert misses[0] > 4
    assert misses[1] < 1.1
    assert starts[1] < 2

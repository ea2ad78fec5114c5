import math

import pytest
import torch

from metarl_gan.agents.policy_gradient import log_probs_of
from metarl_gan.learners.meta_objective import divergence
from metarl_gan.learners.outer_steps import ClippedSteps
from metarl_gan.meta_learner import Adapted
from tests.metarl_gan.learners.gradient_cases import N_TASKS, Given, a_learner, played

PENALTY = {"kl_penalty": 1.0, "inner_lr": 0.05, "outer_clip": 5.0}


def a_batch(**settings):
    """A learner, its adaptation and a query of its adapted policies; the support likewise."""
    learner, drawn, query = a_learner(**settings)
    start = learner.initial_policy(N_TASKS)
    first = type(drawn[0])(real=played(learner, start, drawn[0].real))
    adapted = learner.inner_loop(Given(first, drawn[1]), N_TASKS)
    return learner, adapted, played(learner, adapted.parameters, query)


def test_divergence_by_hand():
    """Of a policy of three actions, with every action once and as its probability weighs it."""
    learner, drawn, _ = a_learner(n_choices=3)
    rows = drawn[0].real.select(slice(0, 1))
    old, new = learner.initial_policy(1), learner.initial_policy(1)
    new = {name: value + 0.3 * value.abs() for name, value in new.items()}
    states = rows.observations[:, :1].expand(1, 3, 3)
    actions = torch.tensor([[0, 1, 2]])
    old_log, new_log = (learner.policy.log_probs(p, states, actions) for p in (old, new))
    every = type(rows)(
        observations=states,
        actions=actions,
        log_probs=old_log,
        advantages=torch.zeros_like(old_log),
        weights=old_log.exp(),
        episode_steps=3,
    )
    expected = (old_log.exp() * (old_log - new_log)).sum()
    found = divergence(new_log, every)
    assert float(found) == pytest.approx(float(expected), rel=1e-9)
    assert float(found) > 1e-4
    assert float(divergence(old_log, every)) == pytest.approx(0.0, abs=1e-15)


def test_the_penalty_is_the_mean_divergence_of_those_that_played_support_and_query():
    learner, adapted, query = a_batch(**PENALTY)
    objective = learner.objective(adapted, query)
    with torch.no_grad():
        assert float(objective.divergence(learner.learnt)) == pytest.approx(0.0, abs=1e-12)
        for value in learner.parameters.values():
            value.add_(0.02)
        after = objective.adapted(learner.learnt)
        parts = [
            divergence(log_probs_of(learner.policy, parameters, rows), rows)
            for parameters, rows in (
                (learner.initial_policy(N_TASKS), adapted.drawn[0].real),
                (after, query),
            )
        ]
        expected = float(sum(part.mean() for part in parts)) / 2
        assert min(float(part.mean()) for part in parts) > 0
        assert float(objective.divergence(learner.learnt)) == pytest.approx(expected)
        plain, penalised = (objective.loss(learner.learnt, kl_weight=w) for w in (0.0, 3.0))
        assert float(penalised - plain) == pytest.approx(3.0 * expected)


def test_parts_of_the_tasks_add_up_to_the_whole():
    learner, adapted, query = a_batch(**PENALTY, entropy_bonus=0.2)
    objective = learner.objective(adapted, query)
    with torch.no_grad():
        for value in learner.parameters.values():
            value.add_(0.02)
        whole = objective.loss(learner.learnt, kl_weight=0.7)
        parts = [
            objective.loss(learner.learnt, tasks, kl_weight=0.7)
            for tasks in (slice(0, 1), slice(1, N_TASKS))
        ]
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-12)


@pytest.mark.parametrize(("target", "factor"), [(1e-9, 2.0), (1e3, 0.5)])
def test_the_weight_of_the_penalty_adapts_to_its_target(target, factor):
    learner, adapted, query = a_batch(**PENALTY, kl_target=target)
    for number in range(3):
        metrics = learner.outer_loop(adapted, query)
        assert metrics["kl_weight"] == pytest.approx(factor**number)
        assert metrics["outer_kl"] > 0


def test_within_half_of_the_target_the_weight_stays():
    learner, adapted, query = a_batch(**PENALTY)
    reached = learner.outer_loop(adapted, query)["outer_kl"]
    again, _, _ = a_batch(**PENALTY, kl_target=1.2 * reached)
    weights = [again.outer_loop(adapted, query)["kl_weight"] for _ in range(2)]
    assert weights == [1.0, 1.0]


def test_a_penalty_keeps_policies_nearer_to_those_that_played():
    reached = []
    for penalty in (1e-12, 10.0):
        settings = {**PENALTY, "kl_penalty": penalty, "outer_lr": 3e-4, "outer_epochs": 20}
        learner, adapted, query = a_batch(**settings)
        reached.append(learner.outer_loop(adapted, query)["outer_kl"])
    assert reached[1] < 0.5 * reached[0]


def test_a_divergence_that_is_no_number_raises_the_weight():
    learner, adapted, query = a_batch(**PENALTY)
    step = learner._outer_step
    assert isinstance(step, ClippedSteps)
    with torch.no_grad():
        learner.parameters["bias_0"].fill_(math.nan)
    step._adapt_penalty(learner.objective(adapted, query), learner.learnt)
    assert step._kl_weight == 2.0


def test_the_weight_of_the_penalty_is_in_the_checkpoint():
    learner, adapted, query = a_batch(**PENALTY, kl_target=1e-9)
    learner.outer_loop(adapted, query)
    kept = {name: value.clone() for name, value in learner.tensors().items()}
    other, _, _ = a_batch(**PENALTY, kl_target=1e-9)
    other.restore(kept)
    for one in (learner, other):
        assert one.outer_loop(adapted, query)["kl_weight"] == 2.0
    for name, value in learner.tensors().items():
        assert torch.equal(value, other.tensors()[name]), name


def test_without_a_penalty_nothing_of_it_is_computed_or_kept():
    learner, adapted, query = a_batch()
    metrics = learner.outer_loop(adapted, query)
    assert "outer_kl" not in metrics
    assert "kl_weight" not in learner.tensors()


def test_an_update_leaves_what_played_as_it_was():
    learner, adapted, query = a_batch()
    before = {name: value.clone() for name, value in adapted.parameters.items()}
    learner.outer_loop(Adapted(parameters=adapted.parameters, drawn=adapted.drawn), query)
    assert all(torch.equal(value, before[name]) for name, value in adapted.parameters.items())

import math
from dataclasses import replace

import pytest
import torch

from metarl_gan.agents.policies import GaussianPolicy
from metarl_gan.config import ConfigError, LearnerConfig
from metarl_gan.learners import trust_region
from metarl_gan.learners.trust_region import TrustRegionProblem, conjugate_gradient
from metarl_gan.meta_learner import Adapted
from tests.agents.toys import stream
from tests.metarl_gan.learners.gradient_cases import N_TASKS, Given, a_learner, played

SETTINGS = {"outer": "trust_region", "inner_lr": 0.5, "curvature_share": 1.0}


def a_problem(*, n_choices=None, **settings):
    """A learner, what it played and a query that its adapted policies played; the problem there."""
    learner, drawn, query = a_learner(n_choices=n_choices, **{**SETTINGS, **settings})
    adapted = learner.inner_loop(Given(*drawn), N_TASKS)
    objective = learner.objective(adapted, played(learner, adapted.parameters, query))
    problem = TrustRegionProblem(objective, learner.learnt, learner.config.curvature_share)
    return learner, objective, problem


def test_conjugate_gradient_solves_a_system_by_hand():
    # 4x + y = 1 and x + 3y = 2 give x = 1/11 and y = 7/11.
    matrix = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    right = torch.tensor([1.0, 2.0], dtype=torch.float64)
    found = conjugate_gradient(lambda v: matrix @ v, right, 2)
    torch.testing.assert_close(found, torch.tensor([1.0, 7.0], dtype=torch.float64) / 11)
    # One iteration goes down the gradient, as far as is best: (r·r / r·Ar) r.
    once = conjugate_gradient(lambda v: matrix @ v, right, 1)
    torch.testing.assert_close(once, (5.0 / 20.0) * right)
    # Where there is nothing to solve, nothing is divided by it.
    nothing = conjugate_gradient(lambda v: matrix @ v, torch.zeros(2), 5)
    assert nothing.abs().max() == 0.0


@pytest.mark.parametrize("n_choices", [None, 3])
@pytest.mark.parametrize(
    "variant",
    [{"inner_lr_per": "parameter"}, {"estimator": "dice", "checkpoint_inner_steps": True}],
    ids=str,
)
def test_gradient_and_curvature_equal_central_differences(n_choices, variant):
    """Of the unclipped surrogate, and of the mean divergence, through two inner steps."""
    _, _, problem = a_problem(n_choices=n_choices, **variant)
    size, step = len(problem.gradient), 1e-5
    for seed in range(2):
        direction = torch.randn(size, generator=stream(seed), dtype=torch.float64)
        direction /= direction.norm()
        here, after, before = (problem.outcome(s * step * direction) for s in (0.0, 1.0, -1.0))
        slope = (after.loss - before.loss) / (2 * step)
        assert float(problem.gradient @ direction) == pytest.approx(slope, rel=1e-5, abs=1e-9)
        # It is 0 and flat where the policies are those that played.
        assert here.divergence == pytest.approx(0.0, abs=1e-12)
        bend = (after.divergence + before.divergence) / step**2
        found = float(direction @ problem.curvature(direction))
        assert found == pytest.approx(bend, rel=1e-3)
        assert found > 1e-4


def test_curvature_is_a_symmetric_product():
    _, _, problem = a_problem()
    one, other = (
        torch.randn(len(problem.gradient), generator=stream(seed), dtype=torch.float64)
        for seed in (1, 2)
    )
    torch.testing.assert_close(one @ problem.curvature(other), other @ problem.curvature(one))
    torch.testing.assert_close(problem.curvature(2.0 * one), 2.0 * problem.curvature(one))


def test_curvature_through_the_inner_loop_is_not_that_of_first_order():
    """Else FOMAML's region would be taken for MAML's."""
    found = []
    for algorithm in ("maml", "fomaml"):
        _, _, problem = a_problem(algorithm=algorithm)
        found.append(problem.curvature(torch.ones_like(problem.gradient)))
    assert (found[0] - found[1]).abs().max() > 0.01 * found[1].abs().max()


@pytest.mark.parametrize(
    ("algorithm", "max_kl"), [("maml", 1e-4), ("maml", 0.01), ("maml", 0.3), ("fomaml", 0.01)]
)
def test_a_step_improves_the_surrogate_and_keeps_within_the_region(algorithm, max_kl):
    learner, objective, _ = a_problem(max_kl=max_kl, algorithm=algorithm, inner_lr=0.005)
    before = objective.loss_of_adapted(objective.adapted(learner.learnt), math.inf)
    metrics = learner._outer_step.take(objective, learner.learnt, {})
    adapted = objective.adapted(learner.learnt)
    reached = float(objective.divergence_of_adapted(adapted).detach())
    assert 0.2 * max_kl < reached <= max_kl
    assert metrics["outer_kl"] == pytest.approx(reached)
    after = objective.loss_of_adapted(adapted, math.inf)
    assert after < before
    assert metrics["outer_gain"] == pytest.approx(float((before - after).detach()))


def test_the_exact_divergence_keeps_within_the_region_too():
    """Of normal distributions, in closed form: what the samples estimate."""
    learner, objective, _ = a_problem(max_kl=0.01)
    old = {name: value.detach() for name, value in objective.adapted(learner.learnt).items()}
    learner._outer_step.take(objective, learner.learnt, {})
    new = objective.adapted(learner.learnt)
    states, policy = objective.query.observations, learner.policy
    assert isinstance(policy, GaussianPolicy)

    def moments(parameters):
        mean = policy.mode(parameters, states) / policy.scale()[1]
        return mean, policy.bounded_log_std(parameters["log_std"]).unsqueeze(-2)

    (mean, log_std), (new_mean, new_log_std) = moments(old), moments(new)
    ratio = ((log_std - new_log_std) * 2).exp()
    square = ((mean - new_mean) * (-new_log_std).exp()).square()
    exact = 0.5 * (ratio + square - 1.0).sum(-1) + (new_log_std - log_std).sum(-1)
    mean_exact = float((exact * objective.query.weights).sum(-1).mean().detach())
    assert 0.002 < mean_exact < 0.02


@pytest.mark.parametrize("broken", ["worse", "nan"])
def test_where_no_step_improves_none_is_taken(monkeypatch, broken):
    learner, objective, problem = a_problem()
    before = {name: value.detach().clone() for name, value in learner.learnt.items()}
    if broken == "nan":
        advantages = torch.full_like(objective.query.advantages, math.nan)
        objective = replace(objective, query=replace(objective.query, advantages=advantages))
    else:
        worse = trust_region.Outcome(loss=problem.loss_before + 1e-9, divergence=0.0)
        monkeypatch.setattr(TrustRegionProblem, "outcome", lambda *_: worse)
    metrics = learner._outer_step.take(objective, learner.learnt, {})
    for name, value in learner.learnt.items():
        assert torch.equal(value, before[name]), name
    assert metrics["outer_kl"] == metrics["outer_gain"] == 0.0
    assert metrics["backtracks"] == trust_region.BACKTRACKS


def test_a_step_that_goes_too_far_is_shortened(monkeypatch):
    """The quadratic model is not the divergence: here it promises ten times the way."""
    learner, objective, _ = a_problem(max_kl=0.01)
    length = TrustRegionProblem.length
    monkeypatch.setattr(TrustRegionProblem, "length", lambda *args: 10.0 * length(*args))
    metrics = learner._outer_step.take(objective, learner.learnt, {})
    # 0.8^10 is about a tenth.
    assert 5 <= metrics["backtracks"] <= 14
    assert 0.0 < metrics["outer_kl"] <= 0.01


def test_a_share_of_the_episodes_gives_a_curvature_alike():
    directions = []
    for share in (1.0, 0.5):
        _, _, problem = a_problem(curvature_share=share, inner_lr=0.005)
        vector = torch.ones_like(problem.gradient)
        directions.append(problem.curvature(vector))
    assert not torch.equal(*directions)
    assert torch.cosine_similarity(*directions, dim=0) > 0.5


def test_step_sizes_that_are_not_learnt_stay():
    learner, objective, _ = a_problem(learn_inner_lr=False)
    before = {name: value.clone() for name, value in learner.step_sizes.items()}
    learner._outer_step.take(objective, learner.learnt, {})
    assert all(torch.equal(value, before[name]) for name, value in learner.step_sizes.items())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"algorithm": "reptile"}, "set learner.algorithm to 'maml' or 'fomaml'"),
        ({"kl_penalty": 0.5}, "leave out one of the two"),
    ],
)
def test_what_contradicts_a_trust_region_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        LearnerConfig(outer="trust_region", **settings)


def test_a_learner_takes_the_step_that_its_config_names():
    learner, objective, _ = a_problem()
    before = {name: value.detach().clone() for name, value in learner.learnt.items()}
    adapted = Adapted(parameters={}, drawn=tuple(objective.drawn))
    metrics = learner.outer_loop(adapted, objective.query)
    assert 0.0 < metrics["outer_kl"] <= 0.01
    assert not any(torch.equal(value, before[name]) for name, value in learner.learnt.items())

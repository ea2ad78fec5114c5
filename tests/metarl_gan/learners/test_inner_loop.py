import math

import pytest
import torch

from metarl_gan.config import LearnerConfig
from metarl_gan.learners.inner_loop import initial_step_sizes, step_sizes_of
from metarl_gan.meta_learner import Adapted
from tests.metarl_gan.learners.gradient_cases import N_TASKS, Given, a_learner, gradients

WEIGHTS = {"weight_0": torch.ones(2, 3), "bias_0": torch.zeros(3)}


def sizes(learnt=None, **settings):
    config = LearnerConfig(inner_lr=0.2, **settings)
    return step_sizes_of(config, learnt or initial_step_sizes(config, WEIGHTS))


def test_a_step_size_per_tensor_starts_at_inner_lr_and_stays_positive():
    found = sizes()
    assert [value.shape for value in found.values()] == [(), ()]
    assert all(float(value) == pytest.approx(0.2) for value in found.values())
    found = sizes({name: torch.tensor(-5.0) for name in WEIGHTS})
    assert all(float(value) == pytest.approx(math.exp(-5.0)) for value in found.values())


def test_a_step_size_per_parameter_starts_there_too_and_may_change_its_sign():
    found = sizes(inner_lr_per="parameter")
    assert [value.shape for value in found.values()] == [(2, 3), (3,)]
    for value in found.values():
        torch.testing.assert_close(value, torch.full_like(value, 0.2))
    found = sizes({"bias_0": torch.tensor([-1.0, 0.0, 2.0])}, inner_lr_per="parameter")
    assert found["bias_0"].tolist() == pytest.approx([-0.2, 0.0, 0.4])


def test_an_inner_step_by_parameter_equals_that_by_hand():
    learner, drawn, _ = a_learner(inner_lr_per="parameter", inner_lr=0.5)
    with torch.no_grad():
        learner.step_sizes["bias_0"][0] = 0.0
        learner.step_sizes["bias_0"][1] = -1.0
    start = learner.initial_policy(N_TASKS)["bias_0"]
    by_tensor, _, _ = a_learner(inner_lr=0.5)
    with torch.no_grad():
        by_tensor.step_sizes["bias_0"].fill_(math.log(0.5))
    learner.config, by_tensor.config = (
        LearnerConfig(inner_steps=1, inner_lr=0.5, inner_lr_per=per)
        for per in ("parameter", "tensor")
    )
    moved = learner.inner_loop(Given(*drawn), N_TASKS).parameters["bias_0"] - start
    plain = by_tensor.inner_loop(Given(*drawn), N_TASKS).parameters["bias_0"] - start
    assert moved[:, 0].abs().max() == 0.0
    torch.testing.assert_close(moved[:, 1], -plain[:, 1])
    torch.testing.assert_close(moved[:, 2], learner.step_sizes["bias_0"][2] * plain[:, 2])


@pytest.mark.parametrize("estimator", ["low_variance", "dice"])
def test_steps_that_are_done_again_give_the_same_numbers(estimator):
    """To the last bit but one: kernels are the same, in the same order."""
    found = []
    for again in (False, True):
        settings = {"checkpoint_inner_steps": again, "estimator": estimator, "inner_lr": 0.5}
        learner, drawn, query = a_learner(**settings)
        found.append(gradients(learner, drawn, query)[1])
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-12, atol=1e-14)


def test_steps_are_done_again_when_the_outer_loop_comes_back_to_them(monkeypatch):
    """Where nothing were done again, all would have been kept; without need, nothing is."""
    done = []
    for settings in (
        {"checkpoint_inner_steps": True},
        {"checkpoint_inner_steps": False},
        {"checkpoint_inner_steps": True, "algorithm": "fomaml"},
    ):
        learner, drawn, query = a_learner(**settings)
        calls = []
        for name in ("log_probs", "density"):  # autograd's way, and the written out one
            function = getattr(learner.policy, name)
            monkeypatch.setattr(
                learner.policy, name, lambda *a, _f=function, _c=calls: _c.append(1) or _f(*a)
            )
        gradients(learner, drawn, query)
        done.append(len(calls))
    # Two steps on real and generated rows each, and the query.
    assert done[0] >= 4 + 1 + 4
    assert done[1:] == [4 + 1, 4 + 1]


def test_a_meta_gradient_is_written_out_all_through(monkeypatch):
    """Inner steps, query and penalty alike: autograd's way gives the same, and takes longer."""
    learner, drawn, query = a_learner()
    objective = learner.objective(Adapted(parameters={}, drawn=tuple(drawn)), query)
    plain = objective.loss(learner.learnt, kl_weight=1.0)
    monkeypatch.setattr(learner.policy, "log_probs", None)
    again = objective.loss(learner.learnt, kl_weight=1.0)
    assert torch.equal(again, plain)
    again.backward()

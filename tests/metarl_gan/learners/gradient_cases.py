"""Gradient meta-learners with all there is to learn from, small and in float64."""

from dataclasses import replace

import numpy as np
import torch
from gymnasium import spaces

from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows
from metarl_gan.config import LearnerConfig
from metarl_gan.data_augmentation import MixedData
from metarl_gan.learners.gradient import GradientMetaLearner
from metarl_gan.meta_learner import Adapted
from tests.agents.toys import random_episodes, stream

OBSERVATIONS = spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = spaces.Box(-2, 2, (2,), np.float32)
N_TASKS = 3


class Given(MixedData):
    """Rows decided beforehand, one set for each inner step."""

    def __init__(self, *steps):
        self._steps = list(steps)

    def draw(self, parameters):
        return self._steps.pop(0)


def rows_of(learner, seed, dtype, n_choices):
    batch = random_episodes((N_TASKS, 2, 6), seed=seed, dtype=dtype, n_choices=n_choices)
    rows = PolicyRows.from_transitions(batch, discount=0.9, gae_lambda=0.9)
    # As if a policy close by had acted: importance ratios are near 1, but not 1.
    log_probs = learner.policy.log_probs(
        learner.initial_policy(N_TASKS), rows.observations, rows.actions
    )
    spread = 0.1 * torch.randn(log_probs.shape, generator=stream(seed), dtype=dtype)
    return replace(rows, log_probs=log_probs + spread)


def a_learner(*, dtype=torch.float64, n_choices=None, inner_steps=2, n_threads=1, **settings):
    """A learner, the mixed rows of two inner steps, and query rows."""
    actions = spaces.Discrete(n_choices) if n_choices else ACTIONS
    policy = make_policy(OBSERVATIONS, actions, hidden_sizes=(5,))
    config = LearnerConfig(inner_steps=inner_steps, **settings)
    learner = GradientMetaLearner(policy, config, stream(), n_threads)
    with torch.no_grad():
        for number, value in enumerate(learner.parameters.values()):
            noise = torch.randn(value.shape, generator=stream(number), dtype=dtype)
            value.data = value.to(dtype) + 0.3 * noise
        for number, value in enumerate(learner.step_sizes.values()):
            noise = torch.randn(value.shape, generator=stream(number), dtype=dtype)
            value.data = value.to(dtype) + 0.1 * number + (0.3 * noise if value.ndim else 0.0)
    share = torch.tensor([0.0, 0.4, 0.9], dtype=dtype)
    drawn = tuple(
        MixedRows(
            real=rows_of(learner, seed, dtype, n_choices),
            generated=rows_of(learner, seed + 10, dtype, n_choices),
            share=share,
        )
        for seed in (1, 2)
    )
    return learner, drawn, rows_of(learner, 3, dtype, n_choices)


def outer_loss(learner, drawn, query):
    return learner.objective(Adapted(parameters={}, drawn=drawn), query).loss(learner.learnt)


def gradients(learner, drawn, query):
    learnt = {**learner.parameters}
    learnt |= {f"step size of {name}": value for name, value in learner.step_sizes.items()}
    found = torch.autograd.grad(outer_loss(learner, drawn, query), list(learnt.values()))
    return learnt, dict(zip(learnt, found, strict=True))


def played(learner, parameters, rows):
    """The rows as if policies of `parameters [tasks, ...]` had played them: their own actions."""
    with torch.no_grad():
        actions, log_probs = learner.policy.sample(parameters, rows.observations, stream(9))
    return replace(rows, actions=actions, log_probs=log_probs)

"""One agent for Meta-World's evaluation and for ours: it moves in one direction per task."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metarl_gan.adaptation_report import AdaptationReport
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.envs import TaskFamily
from metarl_gan.evaluator import Evaluator
from metarl_gan.streams import Streams


class Directions:
    """Meta-World's agent: `actions [envs, 4]`, whatever it observes; it never learns."""

    def __init__(self, actions: np.ndarray) -> None:
        self.actions = actions

    def init(self) -> None:
        """Nothing to forget."""

    def adapt_action(self, observations: np.ndarray) -> tuple[np.ndarray, dict]:
        return self.actions, {}

    def step(self, timestep: object) -> None:
        """Nothing to remember."""

    def adapt(self) -> None:
        """Nothing to adapt."""

    def eval_action(self, observations: np.ndarray) -> np.ndarray:
        return self.actions

    def reset(self, env_mask: np.ndarray) -> None:
        """No memory to clear."""


def evaluated(family: TaskFamily, tasks: list, actions: np.ndarray) -> AdaptationReport:
    """Our evaluation of the same agent: a policy whose output is its bias, one bias per task."""
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=())
    initial = policy.initial_parameters(torch.Generator().manual_seed(0))
    parameters = {
        name: torch.zeros_like(value)
        for name, value in expand_over_tasks(initial, len(tasks)).items()
    }
    [bias] = [name for name, value in initial.items() if value.shape == (4,) and name != "log_std"]
    parameters[bias] += torch.as_tensor(actions, dtype=torch.float32).view_as(parameters[bias])
    components: Any = SimpleNamespace(
        policy=policy,
        meta_learner=SimpleNamespace(initial_policy=lambda n_tasks: parameters),
        augmentation=lambda *, generated: None,
    )
    environments = EnvironmentPool(family)
    evaluator = Evaluator(components, environments, Streams(0), scored_episodes=1)
    curve = evaluator.adaptation_curve(tasks, episodes=0)
    environments.close()
    return AdaptationReport(
        family=family.name,
        arm="one direction per task",
        split="test",
        seed=0,
        task_ids=tuple(task.id for task in curve.tasks),
        returns=curve.returns,
        successes=curve.successes,
    )

"""What an inner learner of Stable-Baselines3 remembers of one task while it adapts."""

from abc import ABC, abstractmethod
from typing import final

import torch
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer

from metarl_gan.agents.returns import generalised_advantages
from metarl_gan.agents.sb3_inner import Sb3Inner
from metarl_gan.envs.transitions import Transitions
from metarl_gan.learners.mixed_replay_buffer import MixedReplayBuffer
from metarl_gan.learners.mixed_rollout_buffer import MixedRolloutBuffer, RolloutRows


class Memory(ABC):
    """The role. Batches are `[1, envs, time]`, on the scales of the learner."""

    @abstractmethod
    def add_real(self, batch: Transitions) -> None:
        """Take real transitions."""

    @abstractmethod
    def add_generated(self, batch: Transitions) -> None:
        """Take what was imagined under the learner's present policy."""

    @abstractmethod
    def buffer(self) -> RolloutBuffer | ReplayBuffer:
        """What the learner's `train` takes."""


def make_memory(learner: Sb3Inner, share: float) -> Memory:
    """An empty memory that gives a share of generated rows."""
    if learner.settings.on_policy:
        return RolloutMemory(learner, share)
    return ReplayMemory(learner, share)


@final
class ReplayMemory(Memory):
    """Everything, however old."""

    def __init__(self, learner: Sb3Inner, share: float) -> None:
        self._learner, self._share = learner, share
        self._batches: list[tuple[Transitions, bool]] = []

    def add_real(self, batch: Transitions) -> None:
        self._batches.append((batch, False))

    def add_generated(self, batch: Transitions) -> None:
        self._batches.append((batch, True))

    def buffer(self) -> MixedReplayBuffer:
        learner = self._learner
        buffer = MixedReplayBuffer(
            sum(batch.n_valid() for batch, _ in self._batches),
            learner.observation_space,
            learner.action_space,
            device="cpu",
            share=self._share,
        )
        for batch, generated in self._batches:
            buffer.extend(batch, generated=generated)
        return buffer


@final
class RolloutMemory(Memory):
    """Real rollouts, and the latest imagined ones.

    Both count as played by the present policy. Were real ones held against the policy that did
    play them, PPO's clip would end a task's adaptation where it ends one update: at a ratio of 1.2.
    """

    def __init__(self, learner: Sb3Inner, share: float) -> None:
        self._learner, self._share = learner, share
        self._real: list[Transitions] = []
        self._generated: Transitions | None = None

    def add_real(self, batch: Transitions) -> None:
        self._real.append(batch)

    def add_generated(self, batch: Transitions) -> None:
        self._generated = batch

    def buffer(self) -> MixedRolloutBuffer:
        learner, generated = self._learner, self._generated
        return MixedRolloutBuffer(
            learner.observation_space,
            learner.action_space,
            RolloutRows.cat([rollout_rows(learner, batch) for batch in self._real]),
            None if generated is None else rollout_rows(learner, generated),
            self._share,
        )


@torch.no_grad()
def rollout_rows(learner: Sb3Inner, batch: Transitions) -> RolloutRows:
    """Rows of rollouts `[1, envs, time]`, as if the learner's present weights had played them.

    Advantages are by its own critic (Schulman et al. 2016): a terminated step bootstraps nothing,
    every other last one the value of the observation that it reached.
    """
    values = learner.values(batch.observations)
    advantages = generalised_advantages(
        batch.rewards,
        values,
        learner.values(batch.next_observations),
        batch.terminated,
        batch.valid,
        discount=learner.settings.discount,
        gae_lambda=learner.settings.gae_lambda,
    )
    observations, actions = batch.observations[batch.valid], batch.actions[batch.valid]
    return RolloutRows(
        observations=observations,
        actions=actions,
        log_probs=learner.log_probs(observations, actions),
        values=values[batch.valid],
        advantages=advantages[batch.valid],
    )

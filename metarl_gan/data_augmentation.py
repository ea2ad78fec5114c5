"""DataAugmentation: what each inner step adapts on, real transitions and generated ones.

The share of generated data is decided per task. Real and generated rows are kept apart up to
the loss, so that a share of 0 is the agent without the generator, to the bit.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows
from metarl_gan.config import AugmentationConfig, LearnerConfig
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, HeldOutErrors
from metarl_gan.imagination import imagine


class MixedData(ABC):
    """The data of one adaptation: each inner step draws its own, under the policy it has."""

    @abstractmethod
    def draw(self, parameters: Parameters) -> MixedRows:
        """Rows for one inner step; `parameters [tasks, ...]` are the policy's as adapted so far."""


@final
class RealData(MixedData):
    """The support alone, the same for every inner step: no real step is spent on more."""

    def __init__(self, rows: PolicyRows) -> None:
        self._rows = MixedRows(real=rows)

    def draw(self, parameters: Parameters) -> MixedRows:
        return self._rows


@final
class RealAndImagined(MixedData):
    """The support, and fresh imagination for every inner step."""

    def __init__(self, rows: PolicyRows, share: Tensor, dream: "Dream") -> None:
        self._rows, self._share, self._dream = rows, share, dream

    def draw(self, parameters: Parameters) -> MixedRows:
        generated = self._dream.rows(parameters)
        return MixedRows(real=self._rows, generated=generated, share=self._share)


@dataclass(frozen=True, kw_only=True)
class Dream:
    """All that imagining for one adaptation takes, the policy's parameters apart.

    Rollouts begin at initial states, or at states of the `support` where that is given.
    """

    gan: ConditionalGAN
    policy: Policy
    learner: LearnerConfig
    encoding: Tensor
    n_rollouts: int
    n_steps: int
    generator: torch.Generator
    support: Transitions | None = None

    def rows(self, parameters: Parameters) -> PolicyRows:
        """Fresh rollouts under `parameters [tasks, ...]` as rows for an inner step."""
        rollouts = imagine(
            self.gan,
            self.policy,
            parameters,
            self.encoding,
            self._starts(),
            self.n_steps,
            self.generator,
        )
        return policy_rows(rollouts, self.learner)

    def _starts(self) -> Tensor:
        if self.support is None:
            shape = (len(self.encoding), self.n_rollouts)
            return self.gan.space.draw_starts(shape, self.generator)
        # Branching from another task's states would imagine where this task never goes.
        visited = self.support.valid.flatten(1).float()
        index = torch.multinomial(
            visited, self.n_rollouts, replacement=True, generator=self.generator
        )
        tasks = torch.arange(len(index), device=index.device).unsqueeze(-1)
        return self.support.observations.flatten(1, 2)[tasks, index]


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The data of one adaptation, the share of it that is generated, and why.

    `share [tasks]`; `errors` are the held-out errors that it was decided from, if any.
    """

    data: MixedData
    share: Tensor
    errors: HeldOutErrors | None = None


class DataAugmentation(ABC):
    """The role: from real support to the data that an inner loop adapts on."""

    @abstractmethod
    def mix(self, support: Transitions, generator: torch.Generator) -> Mixture:
        """The data for adapting to the tasks of `support [tasks, episodes, time]`."""


@final
class NoAugmentation(DataAugmentation):
    """The arm without generated data."""

    def __init__(self, learner: LearnerConfig) -> None:
        self._learner = learner

    def mix(self, support: Transitions, generator: torch.Generator) -> Mixture:
        share = torch.zeros(support.n_tasks, device=support.rewards.device)
        return Mixture(data=RealData(policy_rows(support, self._learner)), share=share)


@final
class GeneratedAugmentation(DataAugmentation):
    """Infers each task from its support, and mixes in imagination by a share per task."""

    def __init__(
        self,
        gan: ConditionalGAN,
        policy: Policy,
        config: AugmentationConfig,
        learner: LearnerConfig,
        horizon: int,
    ) -> None:
        self._gan, self._policy = gan, policy
        self._config, self._learner = config, learner
        self._n_steps = config.rollout_steps or horizon

    def mix(self, support: Transitions, generator: torch.Generator) -> Mixture:
        rows = policy_rows(support, self._learner)
        if not self._gan.trained:
            share = torch.zeros(support.n_tasks, device=support.rewards.device)
            return Mixture(data=RealData(rows), share=share)
        context = self._gan.infer(support, generator)
        share = shares(context.errors, self._config)
        if not bool((share > 0).any()):
            return Mixture(data=RealData(rows), share=share, errors=context.errors)
        dream = self.dream(support, context.encoding, generator)
        data = RealAndImagined(rows, share, dream)
        return Mixture(data=data, share=share, errors=context.errors)

    def dream(
        self,
        support: Transitions,
        encoding: Tensor,
        generator: torch.Generator,
        n_rollouts: int | None = None,
    ) -> Dream:
        """What imagining the tasks of `support` under `encoding [tasks, size]` takes.

        `n_rollouts` per task are those of the config unless given.
        """
        return Dream(
            gan=self._gan,
            policy=self._policy,
            learner=self._learner,
            encoding=encoding,
            n_rollouts=n_rollouts or self._config.rollouts_per_task,
            n_steps=self._n_steps,
            generator=generator,
            support=support if self._config.start == "own_states" else None,
        )


def shares(errors: HeldOutErrors, config: AugmentationConfig) -> Tensor:
    """Share of generated data per task `[tasks]`, from held-out errors on that very task.

    Gated: all of `share` up to `gate_full_error`, nothing from `gate_zero_error`, linear
    between; nothing for an error that is not a number.
    """
    error = errors.worst
    if config.mode == "fixed":
        return torch.full_like(error, config.share)
    slope = (config.gate_zero_error - error) / (config.gate_zero_error - config.gate_full_error)
    return config.share * slope.nan_to_num(nan=0.0).clamp(0.0, 1.0)


def policy_rows(batch: Transitions, learner: LearnerConfig) -> PolicyRows:
    """Policy-gradient rows of episodes, with the learner's discount and lambda."""
    return PolicyRows.from_transitions(
        batch, discount=learner.discount, gae_lambda=learner.gae_lambda
    )

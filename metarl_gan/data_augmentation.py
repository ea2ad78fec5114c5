"""DataAugmentation: what each inner step adapts on, real transitions and generated ones.

The share of generated data is decided per task. Real and generated rows are kept apart up to
the loss, so that a share of 0 is the agent without the generator, to the bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from metarl_gan.adversarial_game import AdversarialGame
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows
from metarl_gan.config import Config
from metarl_gan.config_error import ConfigError
from metarl_gan.descriptors import descriptors_of
from metarl_gan.dreams import Dream, GeneratedDream, SimulatedDream, policy_rows
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.generator_config import AugmentationConfig
from metarl_gan.held_out_errors import HeldOutErrors


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

    def __init__(self, rows: PolicyRows, share: Tensor, dream: Dream) -> None:
        self._rows, self._share, self._dream = rows, share, dream

    def draw(self, parameters: Parameters) -> MixedRows:
        generated = self._dream.rows(parameters).blank(self._share == 0)
        return MixedRows(real=self._rows, generated=generated, share=self._share)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The data of one adaptation, the share of it that is generated, and why.

    `share [tasks]`, and `reward_share [tasks]` where no more than rewards is taken from the
    generator; `errors` are the held-out errors that both were decided from, if any. `data` are rows
    for policy gradients; other learners take the real transitions of `support [tasks, envs, time]`
    as they are, and generated ones from the `dream`, which is None if nobody has a share. `context`
    is what was inferred of the tasks, if anything was.
    """

    data: MixedData
    share: Tensor
    reward_share: Tensor
    support: Transitions
    dream: Dream | None = None
    errors: HeldOutErrors | None = None
    context: TaskContext | None = None


class DataAugmentation(ABC):
    """The role: from real support to the data that an inner loop adapts on."""

    @abstractmethod
    def mix(
        self, support: Transitions, stream: torch.Generator, tasks: Sequence[Task] | None = None
    ) -> Mixture:
        """The data for adapting to the tasks of `support [tasks, episodes, time]`.

        `tasks` where it is known which they are. An agent that adapts does not know, and needs
        not, unless its config says otherwise: then `ConfigError` is raised without.
        """

    @property
    def simulator_steps(self) -> int:
        """Steps of true environments that were passed off as generated, in all."""
        return 0


@final
class NoAugmentation(DataAugmentation):
    """The arm without generated data."""

    def __init__(self, config: Config) -> None:
        self._learner = config.learner

    def mix(
        self, support: Transitions, stream: torch.Generator, tasks: Sequence[Task] | None = None
    ) -> Mixture:
        rows = policy_rows(support, self._learner)
        return _nothing_generated(rows, support)


@final
class GeneratedAugmentation(DataAugmentation):
    """Infers each task from its support, and mixes in imagination by a share per task.

    Without `generate` it only infers: for learners that adapt by knowing the task.
    """

    def __init__(
        self,
        gan: ConditionalGAN,
        policy: Policy,
        config: Config,
        horizon: int,
        *,
        generate: bool = True,
    ) -> None:
        self._gan, self._policy, self._config, self._generate = gan, policy, config, generate
        self._n_steps = config.augmentation.rollout_steps or horizon
        self._game: AdversarialGame | None = None
        if config.augmentation.rejection and gan.discriminator is not None:
            self._game = AdversarialGame(gan.discriminator, config.discriminator)

    def mix(
        self, support: Transitions, stream: torch.Generator, tasks: Sequence[Task] | None = None
    ) -> Mixture:
        rows = policy_rows(support, self._config.learner)
        if not self._gan.trained:
            return _nothing_generated(rows, support)
        context = self.infer(support, stream, tasks)
        too_short = support.valid.flatten(1).sum(-1) < self._config.least_support
        share, reward_share = (
            shares(self._gan, errors, self._config.augmentation).masked_fill(
                too_short | (not self._generate), 0.0
            )
            for errors in (context.errors, context.errors.of_rewards())
        )
        known = {
            "share": share,
            "reward_share": reward_share,
            "support": support,
            "errors": context.errors,
        }
        if not bool((share > 0).any()):
            return Mixture(data=RealData(rows), **known, context=context)
        if self._config.augmentation.shuffled_context:
            context = _shuffled(context)
        dream = self.dream(support, context, stream)
        data = RealAndImagined(rows, share, dream)
        return Mixture(data=data, **known, dream=dream, context=context)

    def infer(
        self, support: Transitions, stream: torch.Generator, tasks: Sequence[Task] | None = None
    ) -> TaskContext:
        """What is known of the tasks of `support [tasks, episodes, time]`.

        Raises `ConfigError` if the encoder takes descriptors and `tasks` are not given.
        """
        return self._gan.infer(support, stream, self._descriptors(tasks, stream.device))

    def dream(
        self,
        support: Transitions,
        context: TaskContext,
        stream: torch.Generator,
        n_rollouts: int | None = None,
        policy: Policy | None = None,
    ) -> GeneratedDream:
        """What imagining the tasks of `support` under what is known of them takes.

        `n_rollouts` per task are those of the config, and the policy the agent's, unless given.
        """
        settings = self._config.augmentation
        return GeneratedDream(
            gan=self._gan,
            policy=policy or self._policy,
            learner=self._config.learner,
            context=context,
            n_rollouts=n_rollouts or settings.rollouts_per_task,
            n_steps=self._n_steps,
            stream=stream,
            dtype=getattr(torch, settings.precision),
            support=support if settings.start == "own_states" else None,
            game=self._game,
            window_steps=self._config.discriminator.window_steps,
        )

    def _descriptors(self, tasks: Sequence[Task] | None, device: torch.device) -> Tensor | None:
        if not self._config.encoder.descriptor:
            return None
        if tasks is None:
            raise ConfigError(
                "encoder.descriptor is True: this agent has to be told which task it is in; "
                "adapt with the task given, or train without"
            )
        return descriptors_of(tasks, device)


@final
class SimulatedAugmentation(DataAugmentation):
    """The environment itself in the generator's place: an upper bound, and a check of the rest."""

    def __init__(
        self, environments: EnvironmentPool, policy: Policy, config: Config, horizon: int
    ) -> None:
        self._environments, self._policy, self._config = environments, policy, config
        self._n_steps = config.augmentation.rollout_steps or horizon
        self._dreams: list[SimulatedDream] = []
        self._steps = 0

    def mix(
        self, support: Transitions, stream: torch.Generator, tasks: Sequence[Task] | None = None
    ) -> Mixture:
        if tasks is None:
            raise ConfigError(
                "generator.kind is 'simulator', which knows tasks of a family only: use "
                "generated=False to adapt in an environment of unknown task"
            )
        rows = policy_rows(support, self._config.learner)
        share = support.rewards.new_full((support.n_tasks,), self._config.augmentation.share)
        if self._config.augmentation.share == 0:
            return _nothing_generated(rows, support)
        dream = SimulatedDream(
            tasks,
            self._environments,
            self._policy,
            self._config.learner,
            n_rollouts=self._config.augmentation.rollouts_per_task,
            n_steps=self._n_steps,
            stream=stream,
        )
        self._dreams.append(dream)
        data = RealAndImagined(rows, share, dream)
        return Mixture(data=data, share=share, reward_share=share, support=support, dream=dream)

    @property
    def simulator_steps(self) -> int:
        self._steps += sum(dream.steps for dream in self._dreams)
        self._dreams.clear()
        return self._steps


def shares(gan: ConditionalGAN, errors: HeldOutErrors, config: AugmentationConfig) -> Tensor:
    """Share of generated data per task `[tasks]`.

    Gated: all of `share` up to `gate_full_error`, nothing from `gate_zero_error`, linear
    between; nothing for an error that is not a number. Scheduled: in proportion to the updates of
    the generator, up to `schedule_updates`.
    """
    error = errors.judged(config.gate_unrefined)
    if config.mode == "fixed":
        return torch.full_like(error, config.share)
    if config.mode == "scheduled":
        updates = gan.averaged_generator.n_averaged.to(error.dtype)
        grown = (updates / config.schedule_updates).clamp(max=1.0)
        return torch.full_like(error, config.share) * grown
    if config.gate == "validation":
        error = gan.validation_error.expand_as(error)
    slope = (config.gate_zero_error - error) / (config.gate_zero_error - config.gate_full_error)
    return config.share * slope.nan_to_num(nan=0.0).clamp(0.0, 1.0)


def _nothing_generated(rows: PolicyRows, support: Transitions) -> Mixture:
    nothing = support.rewards.new_zeros(support.n_tasks)
    return Mixture(data=RealData(rows), share=nothing, reward_share=nothing, support=support)


def _shuffled(context: TaskContext) -> TaskContext:
    if len(context.encoding) < 2:
        raise ConfigError(
            "augmentation.shuffled_context takes another task's context, and there is but one "
            "task here: evaluate on two or more"
        )
    return context.roll()

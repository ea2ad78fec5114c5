"""The MetaLearner: an inner loop that adapts, an outer loop that learns where to start from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.player import Player, PolicyPlayer
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.policy_gradient import MixedRows
from metarl_gan.data_augmentation import Mixture
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.replay import Replay


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """The outcome of an inner loop: `parameters [tasks, ...]` and what each step was taken on."""

    parameters: dict[str, Tensor]
    drawn: tuple[MixedRows, ...] = ()

    def select(self, tasks: Tensor) -> "Adapted":
        """The outcome for some tasks, given by ascending index; itself if they are all of them."""
        if all(len(value) == len(tasks) for value in self.parameters.values()):
            return self
        return Adapted(
            parameters={name: value[tasks] for name, value in self.parameters.items()},
            drawn=tuple(rows.select(tasks) for rows in self.drawn),
        )


@dataclass(frozen=True, kw_only=True)
class Experience:
    """What a meta-iteration leaves to learn from; everything is of the same `tasks`.

    `support` was played by the initial policies and `query` by the `adapted` ones, both real,
    `[tasks, envs, time]`. `share [tasks]` of generated data is what the support allowed, and
    `reward_share [tasks]` of data whose rewards alone are generated. `replay`
    holds the real episodes so far, these included, where a generator learns from them.
    """

    tasks: Sequence[Task]
    support: Transitions
    adapted: Adapted
    query: Transitions
    share: Tensor
    reward_share: Tensor
    replay: Replay | None = None


class MetaLearner(ABC):
    """The role: what every task starts from, how it adapts, and how both are learnt.

    `policy` says how `parameters [tasks, ...]` act. All tasks adapt together.
    """

    policy: Policy
    explores_adapted: bool = False
    """Whether each further episode of support is played by what those before it taught, or all by
    the initial policy."""

    @abstractmethod
    def initial_policy(self, n_tasks: int) -> dict[str, Tensor]:
        """The parameters that every task starts from, `[tasks, ...]`, without gradient."""

    @torch.no_grad()
    def player(
        self,
        venv: TaskVectorEnv,
        parameters: Parameters | None,
        generator: torch.Generator,
        *,
        deterministic: bool = False,
    ) -> Player:
        """Who plays policies of `parameters [tasks, ...]`; without, tasks that are begun.

        Those the initial policies play, unless a learner finds out within the first episode which
        task it is: it brings a player of its own.
        """
        known = self.initial_policy(len(venv.tasks)) if parameters is None else parameters
        return PolicyPlayer(venv, self.policy, known, generator, deterministic=deterministic)

    @abstractmethod
    def adapt(self, mixture: Mixture, n_tasks: int) -> Adapted:
        """The inner loop: from the initial policies to adapted ones, on what `mixture` holds."""

    @abstractmethod
    def update(self, experience: Experience, stream: torch.Generator) -> dict[str, float]:
        """The outer loop: learn from real experience; losses to log."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Everything that is learnt, and the optimisers' state, for a checkpoint."""

    @abstractmethod
    def restore(self, tensors: Parameters) -> None:
        """Inverse of `tensors`."""

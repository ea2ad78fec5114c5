"""Dreams: where the generated rows of an inner step come from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from metarl_gan.adversarial_game import AdversarialGame
from metarl_gan.agents.collector import collect
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.policy_gradient import PolicyRows
from metarl_gan.config import LearnerConfig
from metarl_gan.discriminator import judged_inputs
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.imagination import imagine, visited_states


class Dream(ABC):
    """Fresh rollouts of tasks under whatever policy asks for them, at no real step."""

    @abstractmethod
    def rows(self, parameters: Parameters) -> PolicyRows:
        """Rollouts under `parameters [tasks, ...]` as rows for an inner step."""

    @abstractmethod
    def rollouts(self, parameters: Parameters) -> Transitions:
        """Transitions `[tasks, rollouts, steps]` under `parameters [tasks, ...]`."""


@final
@dataclass(frozen=True, kw_only=True)
class GeneratedDream(Dream):
    """Rollouts in the generator, under what a context says of each task.

    They begin at initial states, or branch from states of the `support` where that is given. With
    a `game`, rows count by how probably its discriminator, which judges `window_steps` consecutive
    ones together, lets them pass as real.
    """

    gan: ConditionalGAN
    policy: Policy
    learner: LearnerConfig
    context: TaskContext
    n_rollouts: int
    n_steps: int
    stream: torch.Generator
    dtype: torch.dtype = torch.float32
    support: Transitions | None = None
    game: AdversarialGame | None = None
    window_steps: int = 1

    def rows(self, parameters: Parameters) -> PolicyRows:
        rollouts = self.rollouts(parameters)
        rows = policy_rows(rollouts, self.learner)
        return rows if self.game is None else _weigh(rows, self._acceptance(self.game, rollouts))

    def rollouts(self, parameters: Parameters) -> Transitions:
        return imagine(
            self.gan,
            self.context,
            self.policy,
            parameters,
            self._starts(),
            self.n_steps,
            self.stream,
            self.dtype,
        )

    def _starts(self) -> Tensor:
        if self.support is None:
            shape = (len(self.context.encoding), self.n_rollouts)
            return self.gan.space.draw_starts(shape, self.stream)
        return visited_states(self.support, self.n_rollouts, self.stream)

    @torch.no_grad()
    def _acceptance(self, game: AdversarialGame, rollouts: Transitions) -> Tensor:
        """Probability of passing as real `[tasks, rows]`; steps of a window share theirs.

        1 for what fills no window.
        """
        rows, window = self.gan.space.rows(rollouts), self.window_steps
        n_windows = rollouts.rewards.shape[2] // window
        judged = judged_inputs(
            rows.states, rows.actions, rows.changes, rows.rewards, rows.terminated
        )
        parts = (judged, rollouts.valid.unsqueeze(-1))
        windows, valid = (
            part[:, :, : n_windows * window].unflatten(2, (n_windows, window)).flatten(3)
            for part in parts
        )
        accepted = _judge_whole(game, windows.flatten(1, 2), valid.all(-1), self.context.encoding)
        by_step = accepted.unflatten(1, (-1, n_windows)).repeat_interleave(window, dim=-1)
        weights = torch.ones_like(rollouts.rewards)
        weights[:, :, : n_windows * window] = by_step
        return weights.flatten(1)


@final
class SimulatedDream(Dream):
    """Rollouts in the environments themselves: what a perfect generator would give.

    Their steps are counted apart; they are what this stand-in is an upper bound for, and no
    agent that is compared at equal real steps may use it.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        environments: EnvironmentPool,
        policy: Policy,
        learner: LearnerConfig,
        *,
        n_rollouts: int,
        n_steps: int,
        stream: torch.Generator,
    ) -> None:
        self._tasks, self._environments = tasks, environments
        self._policy, self._learner = policy, learner
        self._n_rollouts, self._n_steps, self._stream = n_rollouts, n_steps, stream
        self.steps = 0

    def rows(self, parameters: Parameters) -> PolicyRows:
        return policy_rows(self.rollouts(parameters), self._learner)

    def rollouts(self, parameters: Parameters) -> Transitions:
        """As of every dream. Raises `ValueError` if an environment broke."""
        seed = torch.randint(2**31 - 1, (), generator=self._stream, device=self._stream.device)
        played = collect(
            self._environments.get(self._tasks, self._n_rollouts),
            self._policy,
            parameters,
            self._stream,
            seed=int(seed),
        )
        self.steps += played.real_steps
        if played.dropped:
            raise ValueError(
                f"the simulator of task {played.dropped[0].task_id} broke, and nothing can stand "
                f"in for it: {played.dropped[0].summary}"
            )
        return played.batch.first_steps(self._n_steps)


def policy_rows(batch: Transitions, learner: LearnerConfig) -> PolicyRows:
    """Policy-gradient rows of episodes, with the learner's discount and lambda."""
    return PolicyRows.from_transitions(
        batch, discount=learner.discount, gae_lambda=learner.gae_lambda
    )


def _judge_whole(game: AdversarialGame, windows: Tensor, whole: Tensor, encoding: Tensor) -> Tensor:
    """Acceptance `[tasks, windows]` among those that are whole; 1 for the others."""
    whole = whole.flatten(1)
    # What comes after an end must not be what the rest is measured by: whole ones, over again,
    # take its place.
    order = whole.int().argsort(dim=-1, descending=True, stable=True)
    places = torch.arange(whole.shape[1], device=whole.device)
    index = order.gather(1, places % whole.sum(-1, keepdim=True).clamp(min=1))
    accepted = game.acceptance(windows.take_along_dim(index.unsqueeze(-1), dim=1), encoding)
    return torch.ones_like(accepted).scatter(1, order, accepted).masked_fill(~whole, 1.0)


def _weigh(rows: PolicyRows, weights: Tensor) -> PolicyRows:
    weighed = rows.weights * weights
    return replace(rows, weights=weighed / weighed.sum(-1, keepdim=True).clamp(min=1e-6))

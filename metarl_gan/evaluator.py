"""Evaluation: return on held-out tasks after 0..K real episodes, all tasks together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metarl_gan.adaptation_report import AdaptationReport
from metarl_gan.agents.collector import AllTasksDroppedError, Collection, DroppedTask, play
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.agents.networks import Parameters
from metarl_gan.components import Components
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.held_out_errors import HeldOutErrors
from metarl_gan.streams import Streams

SCORED_EPISODES = 5
"""Episodes that a return is the mean of: after adaptation, not part of it."""


@dataclass(frozen=True, kw_only=True)
class AdaptationCurve:
    """`returns [tasks, episodes + 1]` of the tasks that stayed healthy, and what they cost.

    `successes`, likewise, is the share of scored episodes in which the environment said in any
    step that the task is solved; `None` where environments do not say.
    """

    tasks: tuple[Task, ...]
    returns: np.ndarray
    real_steps: int
    dropped: tuple[DroppedTask, ...]
    successes: np.ndarray | None = None

    def report(
        self,
        family: TaskFamily,
        *,
        arm: str,
        split: str,
        seed: int,
        training_real_steps: int,
        command: str,
    ) -> AdaptationReport:
        """What there is to report of it; arguments are as of `AdaptationReport`."""
        floors, reference = family.levels(split)
        return AdaptationReport(
            family=family.name,
            arm=arm,
            split=split,
            seed=seed,
            task_ids=tuple(task.id for task in self.tasks),
            returns=self.returns,
            successes=self.successes,
            floors=floors,
            reference=reference,
            training_real_steps=training_real_steps,
            evaluation_real_steps=self.real_steps,
            dropped_tasks=tuple(dropped.task_id for dropped in self.dropped),
            drop_reasons=tuple(dropped.reason for dropped in self.dropped),
            command=command,
        )


class Evaluator:
    """Adapts an agent to held-out tasks and scores it. Changes nothing of the agent.

    Two evaluators with equal streams play the same support episodes and start scored episodes
    from the same seeds, so that arms with and without generated data are paired.
    """

    def __init__(
        self,
        components: Components,
        environments: EnvironmentPool,
        streams: Streams,
        *,
        generated: bool = True,
        deterministic: bool = True,
        scored_episodes: int = SCORED_EPISODES,
    ) -> None:
        self._components, self._environments = components, environments
        self._streams = streams
        self._augmentation = components.augmentation(environments, generated=generated)
        self._deterministic, self._scored_episodes = deterministic, scored_episodes
        self.errors: HeldOutErrors | None = None
        """Of the generator on the support that was last adapted to, if there is one."""
        self.share: Tensor | None = None
        """Of generated data in that adaptation, `[tasks]`."""

    def adaptation_curve(self, tasks: Sequence[Task], episodes: int) -> AdaptationCurve:
        """Returns before adaptation and after each of `episodes` real episodes.

        Every episode of support is played by the initial policy, as in training, or by the policy
        adapted to those before it if the learner explores like that. Raises
        `AllTasksDroppedError` if no task returns finite numbers throughout.
        """
        learner = self._components.meta_learner
        initial = learner.initial_policy(len(tasks))
        scored, support = [self._score(tasks, None)], []
        if episodes:
            first = 1 if learner.explores_adapted else episodes
            support = [self._play(tasks, None, first, "support", deterministic=False)]
        for count in range(1, episodes + 1):
            parameters = self._adapt(tasks, support, initial, count)
            scored.append(self._score(tasks, parameters))
            if learner.explores_adapted and count < episodes:
                name = f"support-{count + 1}"
                support.append(self._play(tasks, parameters, 1, name, deterministic=False))
        return curve_from(tasks, scored, support)

    def _adapt(
        self, tasks: Sequence[Task], support: Sequence[Collection], initial: Parameters, count: int
    ) -> dict[str, Tensor]:
        """Parameters after `count` episodes; tasks whose support broke keep the initial ones."""
        kept, batch = joined(support)
        mixture = self._augmentation.mix(
            batch.take_envs(slice(count)),
            self._streams.torch("evaluation-imagination", count),
            [tasks[int(index)] for index in kept],
        )
        self.errors, self.share = mixture.errors, mixture.share
        adapted = self._components.meta_learner.adapt(mixture, len(kept))
        parameters = {name: value.clone() for name, value in initial.items()}
        for name, value in adapted.parameters.items():
            parameters[name][kept] = value.detach()
        return parameters

    def _score(self, tasks: Sequence[Task], parameters: Parameters | None) -> Collection:
        # The same streams each time: returns differ by what was learnt, not by the start.
        return self._play(
            tasks, parameters, self._scored_episodes, "scored", deterministic=self._deterministic
        )

    def _play(
        self,
        tasks: Sequence[Task],
        parameters: Parameters | None,
        n_episodes: int,
        name: str,
        *,
        deterministic: bool,
    ) -> Collection:
        stream = self._streams.torch(f"evaluation-{name}")
        venv = self._environments.get(tasks, n_episodes)
        player = self._components.meta_learner.player(
            venv, parameters, stream, deterministic=deterministic
        )
        seed = self._streams.integer(f"evaluation-{name}-environments")
        return play(venv, player, seed=seed, device=stream.device)


def joined(played: Sequence[Collection]) -> tuple[Tensor, Transitions]:
    """Episodes of one set of tasks that were played one after the other, side by side.

    Of the tasks that stayed healthy in all: their indices `[kept]`, and the episodes
    `[kept, envs, time]`. Raises `AllTasksDroppedError` if there is none.
    """
    sets = [set(collection.kept.tolist()) for collection in played]
    order = sorted(set.intersection(*sets))
    if not order:
        dropped = tuple(dropped for collection in played for dropped in collection.dropped)
        raise AllTasksDroppedError(dropped, sum(c.real_steps for c in played))
    parts = []
    for collection in played:
        rows = {task: row for row, task in enumerate(collection.kept.tolist())}
        index = torch.tensor([rows[task] for task in order], device=collection.kept.device)
        parts.append(collection.batch.select(index))
    return torch.tensor(order, device=played[0].kept.device), Transitions.cat(parts, "envs")


def curve_from(
    tasks: Sequence[Task], scored: Sequence[Collection], support: Sequence[Collection] = ()
) -> AdaptationCurve:
    """The record of episodes played in `tasks`: `scored` after 0, 1, … episodes of support.

    Of tasks that stayed healthy throughout. Raises `AllTasksDroppedError` if there is none.
    """
    collections = [*scored, *support]
    healthy = set(range(len(tasks))).intersection(*(c.kept.tolist() for c in collections))
    real_steps = sum(collection.real_steps for collection in collections)
    dropped = tuple({d.task_id: d for c in collections for d in c.dropped}.values())
    if not healthy:
        raise AllTasksDroppedError(dropped, real_steps)
    order = sorted(healthy)
    returns, successes = [], []
    for collection in scored:
        row = {task: row for row, task in enumerate(collection.kept.tolist())}
        rows = [row[task] for task in order]
        returns.append(collection.batch.returns().mean(-1).cpu().numpy()[rows])
        if collection.success is not None:
            successes.append(collection.success.double().mean(-1).numpy()[rows])
    return AdaptationCurve(
        tasks=tuple(tasks[task] for task in order),
        returns=np.stack(returns, axis=-1).astype(np.float64),
        real_steps=real_steps,
        dropped=dropped,
        successes=np.stack(successes, axis=-1) if len(successes) == len(scored) else None,
    )

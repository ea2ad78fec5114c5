"""A fresh model of Stable-Baselines3 for each task."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metarl_gan.agents.collector import AllTasksDroppedError, Collection, play
from metarl_gan.agents.global_streams import global_streams
from metarl_gan.agents.sb3_learner import MakeModel, Practice, Sb3Learner
from metarl_gan.agents.told import Nothing
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.evaluator import AdaptationCurve, curve_from
from metarl_gan.methods.training_record import RecordedMethod, TrainingRecord
from metarl_gan.streams import Streams


class FreshModels(RecordedMethod):
    """Learns each task on its own, when it is asked how well it does.

    An episode of adaptation is as many real steps as the horizon: more than one episode where
    these end early.

    Args:
        family: Of the tasks.
        make_model: Makes a model.
        discount: By which returns are added up.
        times_episodes: Real episodes per episode of adaptation.
        seed: Of the models' weights.
    """

    def __init__(
        self,
        family: TaskFamily,
        make_model: MakeModel,
        *,
        discount: float,
        times_episodes: int,
        seed: int,
    ) -> None:
        super().__init__(TrainingRecord())
        self._family, self._make_model = family, make_model
        self._discount, self._times_episodes, self._seed = discount, times_episodes, seed

    def adaptation_curve(
        self, tasks: Sequence[Task], episodes: int, *, seed: int, scored_episodes: int
    ) -> AdaptationCurve:
        curves: list[AdaptationCurve] = []
        broken: list[AllTasksDroppedError] = []
        streams = Streams(seed)
        for index, task in enumerate(tasks):
            try:
                curves.append(self._curve(task, index, episodes, streams, scored_episodes))
            except AllTasksDroppedError as error:
                broken.append(error)
        return _joined(curves, broken)

    def _curve(
        self, task: Task, index: int, episodes: int, streams: Streams, scored_episodes: int
    ) -> AdaptationCurve:
        """Of the task at a place of the list, which its random numbers go by."""
        practice = Practice(
            family=self._family,
            draw_tasks=lambda block: [task],
            n_envs=1,
            make_told=Nothing,
            episodes_per_trial=1,
            seed=streams.integer("evaluation-support-environments", index),
        )
        venv = self._family.make_vec([task], scored_episodes)
        # As where all tasks are scored together: methods are compared on the same starts.
        first = streams.integer("evaluation-scored-environments") + index * scored_episodes
        weights = Streams(self._seed).integer("policy-weights")
        scored: list[Collection] = []
        with global_streams(weights + streams.integer("evaluation-support", index)):
            learner = Sb3Learner(practice, self._make_model, discount=self._discount)
            for episode in range(episodes + 1):
                if episode:
                    learner.learn(self._times_episodes * self._family.horizon)
                player = learner.player([task] * scored_episodes, deterministic=True)
                scored.append(play(venv, player, seed=first))
            learner.close()
        venv.close()
        curve = curve_from([task], scored)
        return replace(curve, real_steps=curve.real_steps + learner.trials.real_steps)


def _joined(
    curves: Sequence[AdaptationCurve], broken: Sequence[AllTasksDroppedError]
) -> AdaptationCurve:
    """One record of many tasks. Raises `AllTasksDroppedError` if none stayed healthy."""
    dropped = tuple({d.task_id: d for error in broken for d in error.dropped}.values())
    real_steps = sum(part.real_steps for part in (*curves, *broken))
    if not curves:
        raise AllTasksDroppedError(dropped, real_steps)
    successes = [curve.successes for curve in curves if curve.successes is not None]
    return AdaptationCurve(
        tasks=tuple(task for curve in curves for task in curve.tasks),
        returns=np.concatenate([curve.returns for curve in curves]),
        real_steps=real_steps,
        dropped=dropped,
        successes=np.concatenate(successes) if len(successes) == len(curves) else None,
    )

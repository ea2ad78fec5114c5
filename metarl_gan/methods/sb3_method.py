"""What the baselines that train one model of Stable-Baselines3 on many tasks have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from metarl_gan.agents.collector import Collection, play
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.agents.fresh_state import FreshState
from metarl_gan.agents.global_streams import global_streams
from metarl_gan.agents.sb3_learner import MakeModel, Practice, Sb3Learner
from metarl_gan.agents.sb3_player import Memory
from metarl_gan.agents.told import Told
from metarl_gan.config import ConfigError, SamplerConfig
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.evaluator import AdaptationCurve, curve_from
from metarl_gan.methods.training_record import (
    Assignment,
    RecordedMethod,
    TrainingRecord,
    load_training,
    save_training,
)
from metarl_gan.methods.validated_training import train_validated
from metarl_gan.streams import Streams
from metarl_gan.task_sampler import TaskSampler


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model practises on training tasks.

    Args:
        make_model: Makes the model.
        make_told: What it is told beside observations, for a number of environments.
        n_envs: Tasks that are played at once.
        episodes_per_trial: Episodes of a task that it remembers; 1 for what remembers nothing.
        steps_per_update: Real steps between updates: a budget is spent in such portions.
        discount: By which returns are added up.
    """

    make_model: MakeModel
    make_told: Callable[[int], Told]
    n_envs: int
    episodes_per_trial: int
    steps_per_update: int
    discount: float


def train_recipe(assignment: Assignment, recipe: Recipe) -> "TrainedSb3":
    """Train as the recipe says, or load what the assignment's folder holds.

    Raises `ConfigError` for a budget below one update, and `AllTasksDroppedError` if all tasks
    break.
    """
    updates = assignment.max_real_steps // recipe.steps_per_update
    if not updates:
        raise ConfigError(
            f"{assignment.method} takes {recipe.steps_per_update:,} real steps for an update, and "
            f"may take {assignment.max_real_steps:,}: give more, or a lower tasks_at_once"
        )
    streams = Streams(assignment.seed)
    sampling = SamplerConfig(tasks_per_batch=recipe.n_envs)
    sampler = TaskSampler(assignment.family, sampling, streams)
    practice = Practice(
        family=assignment.family,
        draw_tasks=sampler.sample,
        n_envs=recipe.n_envs,
        make_told=recipe.make_told,
        episodes_per_trial=recipe.episodes_per_trial,
        seed=streams.integer("practice-environments"),
    )
    with global_streams(streams.integer("practice")):
        learner = Sb3Learner(practice, recipe.make_model, discount=recipe.discount)
        examination = _Examination(learner, assignment.family, recipe.episodes_per_trial > 1)
        kept = load_training(assignment)
        if kept is None:
            kept = train_validated(
                learner,
                assignment,
                updates * recipe.steps_per_update,
                lambda: examination.curve(
                    sampler.validation_tasks,
                    recipe.episodes_per_trial - 1,
                    seed=streams.integer("validation"),
                    scored_episodes=1,
                ),
                [FreshState()] if recipe.episodes_per_trial > 1 else [],
            )
            save_training(assignment, *kept)
        learner.close()
    tensors, record = kept
    learner.restore(tensors)
    return TrainedSb3(examination, record)


class TrainedSb3(RecordedMethod):
    """A trained model, examined on held-out tasks."""

    def __init__(self, examination: "_Examination", record: TrainingRecord) -> None:
        super().__init__(record)
        self._examination = examination

    def adaptation_curve(
        self, tasks: Sequence[Task], episodes: int, *, seed: int, scored_episodes: int
    ) -> AdaptationCurve:
        return self._examination.curve(tasks, episodes, seed=seed, scored_episodes=scored_episodes)


class _Examination:
    """Plays held-out tasks with a learner's weights of now; changes nothing of it.

    Args:
        learner: Makes the players.
        family: Of the tasks.
        remembers: Whether anything is carried from episode to episode. If not, episodes of
            support would change nothing: none are played, and the curve is flat.
    """

    def __init__(self, learner: Sb3Learner, family: TaskFamily, remembers: bool) -> None:
        self._learner, self._family, self._remembers = learner, family, remembers

    def curve(
        self, tasks: Sequence[Task], episodes: int, *, seed: int, scored_episodes: int
    ) -> AdaptationCurve:
        """One trial of `episodes` per task, with sampled actions.

        Before and after each of them, the memory of it is given to `scored_episodes` episodes
        with the most probable actions, which leave no memory behind.
        """
        streams, environments = Streams(seed), EnvironmentPool(self._family)
        scored, support = [], []
        memory: Memory | None = None

        def score(told: Memory | None) -> Collection:
            rows = [task for task in tasks for _ in range(scored_episodes)]
            repeated = None if told is None else told.repeated(scored_episodes)
            return play(
                environments.get(tasks, scored_episodes),
                self._learner.player(rows, deterministic=True, memory=repeated),
                seed=streams.integer("evaluation-scored-environments"),
            )

        with global_streams(streams.integer("evaluation-support")):
            scored.append(score(None))
            for episode in range(episodes if self._remembers else 0):
                player = self._learner.player(tasks, deterministic=False, memory=memory)
                start = streams.integer("evaluation-support-environments", episode)
                support.append(play(environments.get(tasks, 1), player, seed=start))
                memory = player.memory
                scored.append(score(memory))
        environments.close()
        curve = curve_from(tasks, scored, support)
        return curve if self._remembers else _held(curve, episodes)


def _held(curve: AdaptationCurve, episodes: int) -> AdaptationCurve:
    """The one column of a curve after each of `episodes` episodes that change nothing."""
    columns = {"returns": curve.returns.repeat(episodes + 1, axis=1)}
    if curve.successes is not None:
        columns["successes"] = curve.successes.repeat(episodes + 1, axis=1)
    return replace(curve, **columns)

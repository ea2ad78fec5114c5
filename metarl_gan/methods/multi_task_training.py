"""Training of one policy on many tasks, and of how it is best fine-tuned."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product

import torch
from torch import Tensor

from metarl_gan.agents.collector import Collection, collect
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.agents.multi_task import FineTuning, MultiTaskLearner
from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.optimisers import with_prefix
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import PolicyRows
from metarl_gan.config import SamplerConfig
from metarl_gan.config_error import require
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.evaluator import AdaptationCurve, curve_from
from metarl_gan.methods.method import LearningPoint
from metarl_gan.methods.training_record import (
    Assignment,
    TrainingRecord,
    load_progress,
    save_progress,
)
from metarl_gan.methods.validations import Validations
from metarl_gan.normaliser import RunningNormaliser
from metarl_gan.streams import Streams
from metarl_gan.task_sampler import TaskSampler

VALIDATIONS = 10
"""In a training, evenly over its updates."""


@dataclass(frozen=True, kw_only=True)
class FineTunedSettings:
    """Multi-task PPO, then policy-gradient steps on each new task."""

    tasks_per_batch: int = 5
    episodes_per_task: int = 1
    """Of a batch's tasks, per update."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    initial_std: float = 0.5
    """Of continuous actions, in half ranges of the action space."""
    learning_rate: float = 3e-3
    anneal: bool = True
    """Let the learning rate fall to 0 in equal steps over the budget."""
    epochs: int = 20
    clip: float = 0.2
    max_grad_norm: float = 1.0
    entropy_bonus: float = 0.0
    discount: float = 0.97
    gae_lambda: float = 0.95
    step_sizes: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Of fine-tuning, of which validation tasks choose one."""
    steps: tuple[int, ...] = (1, 5, 20)
    """Gradient steps of fine-tuning, likewise."""
    tuning_episodes: int = 2
    """Most real episodes per validation task that the choice is made on."""

    def __post_init__(self) -> None:
        counts = ("tasks_per_batch", "episodes_per_task", "epochs", "tuning_episodes")
        for name in counts:
            value = getattr(self, name)
            require(value >= 1, name, value, "at least 1")
        for name in ("initial_std", "learning_rate", "clip", "max_grad_norm"):
            value = getattr(self, name)
            require(value > 0, name, value, "positive")
        for name in ("discount", "gae_lambda"):
            value = getattr(self, name)
            require(0 < value <= 1, name, value, "above 0 and at most 1")
        for name in ("step_sizes", "steps"):
            values = getattr(self, name)
            require(bool(values) and min(values) > 0, name, values, "one or more positive numbers")


@dataclass(kw_only=True)
class _Spent:
    """How far a training is."""

    updates: int = 0
    real_steps: int = 0
    seconds: float = 0.0
    due: int = 0
    """Real steps at which the last validation was due."""


class MultiTaskTraining:
    """A policy that is not told the task, its learner, and how it is fine-tuned."""

    def __init__(self, family: TaskFamily, settings: FineTunedSettings, streams: Streams) -> None:
        self._family, self._settings, self._streams = family, settings, streams
        self._policy = make_policy(
            family.observation_space,
            family.action_space,
            hidden_sizes=settings.hidden_sizes,
            initial_std=settings.initial_std,
        )
        self._learner = MultiTaskLearner(
            self._policy,
            streams.torch("policy-weights"),
            learning_rate=settings.learning_rate,
            epochs=settings.epochs,
            clip=settings.clip,
            max_grad_norm=settings.max_grad_norm,
            entropy_bonus=settings.entropy_bonus,
        )
        self._observations = RunningNormaliser(self._policy.n_inputs)
        self._environments = EnvironmentPool(family)
        self.fine_tuning = FineTuning(step_size=1.0, n_steps=0, clip=settings.clip)

    def train(self, assignment: Assignment) -> tuple[dict[str, Tensor], TrainingRecord]:
        """Spend the budget: what validated best after fine-tuning, and the record.

        An interrupted training of the assignment is gone on with, from its last validation.
        Raises as `load_progress` does.
        """
        settings = self._settings
        sampling = SamplerConfig(tasks_per_batch=settings.tasks_per_batch)
        sampler = TaskSampler(self._family, sampling, self._streams)
        per_update = settings.tasks_per_batch * settings.episodes_per_task * self._family.horizon
        # Updates that fit if no episode ends early; there are more where some do.
        n_updates = assignment.max_real_steps // per_update
        between = max(1, n_updates // VALIDATIONS) * per_update
        spent, validations = self._resume(assignment)
        while spent.real_steps + per_update <= assignment.max_real_steps:
            remaining = max(0.0, 1.0 - spent.real_steps / (n_updates * per_update))
            began = time.perf_counter()
            tasks = sampler.sample(spent.updates)
            spent.real_steps += self._update(tasks, spent.updates, remaining)
            spent.seconds += time.perf_counter() - began
            spent.updates += 1
            over = spent.real_steps + per_update > assignment.max_real_steps
            if spent.real_steps < spent.due + between and not over:
                continue
            spent.due += between
            score, steps = self._tune(sampler.validation_tasks)
            point = LearningPoint(
                real_steps=spent.real_steps, seconds=spent.seconds, validation_return=score
            )
            validations.add(point, steps, self.tensors)
            self._save(assignment, spent, validations)
        return validations.best, validations.record(spent.real_steps, spent.seconds)

    def curves(
        self,
        tasks: Sequence[Task],
        episodes: int,
        streams: Streams,
        *,
        scored_episodes: int,
        candidates: Sequence[FineTuning],
    ) -> tuple[list[AdaptationCurve], int]:
        """For each way of fine-tuning, returns after 0, 1, … `episodes` episodes; all real steps.

        Episodes of support, and those scored before any, are played once for all candidates, by
        the policy before fine-tuning; their steps are part of every curve's.
        """
        real_steps = 0
        initial = self._learner.for_tasks(len(tasks))

        def played(parameters: Parameters, n_episodes: int, name: str) -> Collection:
            nonlocal real_steps
            collection = collect(
                self._environments.get(tasks, n_episodes),
                self._policy,
                parameters,
                streams.torch(f"evaluation-{name}"),
                seed=streams.integer(f"evaluation-{name}-environments"),
                deterministic=name == "scored",
            )
            real_steps += collection.real_steps
            return collection

        before = played(initial, scored_episodes, "scored")
        support = [played(initial, episodes, "support")] if episodes else []
        curves = []
        for candidate in candidates:
            scored = [before]
            for count in range(1, episodes + 1):
                tuned = self._tuned(initial, support[0], count, candidate)
                scored.append(played(tuned, scored_episodes, "scored"))
            curves.append(curve_from(tasks, scored, support))
        return curves, real_steps

    def close(self) -> None:
        """Close the environments; new ones are made if need be."""
        self._environments.close()

    def tensors(self) -> dict[str, Tensor]:
        """A copy of all that acting and fine-tuning need."""
        return {
            **{f"policy.{name}": value for name, value in self._learner.tensors().items()},
            **{f"observations.{n}": v.clone() for n, v in self._observations.state_dict().items()},
            "fine_tuning.step_size": torch.tensor(self.fine_tuning.step_size, dtype=torch.float64),
            "fine_tuning.n_steps": torch.tensor(self.fine_tuning.n_steps),
        }

    def restore(self, tensors: Parameters) -> None:
        """Inverse of `tensors`."""
        self._learner.restore(with_prefix(tensors, "policy."))
        self._observations.load_state_dict(with_prefix(tensors, "observations."))
        self._policy.set_observation_scale(self._observations.mean, self._observations.std)
        self.fine_tuning = FineTuning(
            step_size=float(tensors["fine_tuning.step_size"]),
            n_steps=int(tensors["fine_tuning.n_steps"]),
            clip=self._settings.clip,
        )

    def _save(self, assignment: Assignment, spent: "_Spent", validations: Validations) -> None:
        parts = {
            "now": self.tensors(),
            "best": validations.best,
            "optimiser": self._learner.optimiser_tensors(),
        }
        tensors = {f"{part}.{name}": v for part, own in parts.items() for name, v in own.items()}
        state = {"spent": asdict(spent), "validations": validations.state()}
        save_progress(assignment, tensors, state)

    def _resume(self, assignment: Assignment) -> "tuple[_Spent, Validations]":
        """What was spent and found already, with the weights of then; nothing at first."""
        validations, saved = Validations(), load_progress(assignment)
        if saved is None:
            return _Spent(), validations
        tensors, state = saved
        self.restore(with_prefix(tensors, "now."))
        self._learner.restore_optimiser(with_prefix(tensors, "optimiser."))
        validations.restore(with_prefix(tensors, "best."), state["validations"])
        return _Spent(**state["spent"]), validations

    def _update(self, tasks: Sequence[Task], index: int, remaining: float) -> int:
        """Collect from tasks and learn: the real steps that it took."""
        collection = collect(
            self._environments.get(tasks, self._settings.episodes_per_task),
            self._policy,
            self._learner.for_tasks(len(tasks)),
            self._streams.torch("practice", index),
            seed=self._streams.integer("practice-environments", index),
        )
        rows = self._rows(collection.batch)
        self._learner.update(rows, remaining=remaining if self._settings.anneal else 1.0)
        self._observations.update(collection.batch.observations[collection.batch.valid])
        self._policy.set_observation_scale(self._observations.mean, self._observations.std)
        return collection.real_steps

    def _tune(self, tasks: Sequence[Task]) -> tuple[float, int]:
        """Choose the fine-tuning by validation tasks: their mean return with it, and real steps."""
        settings = self._settings
        candidates = [
            FineTuning(step_size=size, n_steps=n_steps, clip=settings.clip)
            for size, n_steps in product(settings.step_sizes, settings.steps)
        ]
        curves, real_steps = self.curves(
            tasks,
            settings.tuning_episodes,
            Streams(self._streams.integer("validation")),
            scored_episodes=1,
            candidates=candidates,
        )
        scores = [float(curve.returns[:, 1:].mean()) for curve in curves]
        best = max(range(len(scores)), key=scores.__getitem__)
        self.fine_tuning = candidates[best]
        return scores[best], real_steps

    def _tuned(
        self, initial: Parameters, support: Collection, count: int, fine_tuning: FineTuning
    ) -> dict[str, Tensor]:
        """Parameters after `count` episodes; tasks whose support broke keep the initial ones."""
        rows = self._rows(support.batch.take_envs(slice(count)))
        parameters = {name: value.clone() for name, value in initial.items()}
        before = {name: value[support.kept] for name, value in initial.items()}
        for name, value in fine_tuning.apply(self._policy, before, rows).items():
            parameters[name][support.kept] = value
        return parameters

    def _rows(self, batch: Transitions) -> PolicyRows:
        return PolicyRows.from_transitions(
            batch, discount=self._settings.discount, gae_lambda=self._settings.gae_lambda
        )

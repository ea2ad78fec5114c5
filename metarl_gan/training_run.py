"""A training run on disk: meta-iterations, validation, checkpoints, logs, a clean end."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from metarl_gan.agents.collector import AllTasksDroppedError
from metarl_gan.components import Components
from metarl_gan.envs.family import TaskFamily
from metarl_gan.evaluator import Evaluator
from metarl_gan.graceful_stop import GracefulStop
from metarl_gan.metric_log import FanOutLog, MetricLog
from metarl_gan.progress import ProgressLog
from metarl_gan.run_folder import BEST, LAST, RunFolder
from metarl_gan.run_log import RunLog
from metarl_gan.streams import Streams
from metarl_gan.trainer import Metrics, Trainer
from metarl_gan.training_events import NoEvents, Progress, TrainingEvents

NOTICE = "stopping after this meta-iteration, with a checkpoint; once more stops at once"


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why, and the last checkpoint is kept."""


class StoppedBySignal(KeyboardInterrupt):
    """A signal ended the run; its checkpoint is written."""


class TrainingRun:
    """Drives a trainer to its budget and keeps its run folder."""

    def __init__(
        self, components: Components, family: TaskFamily, folder: RunFolder, *, progress: bool
    ) -> None:
        self.components, self.family, self.folder = components, family, folder
        self.trainer = Trainer(components, family)
        self._progress = progress
        self._events: TrainingEvents = NoEvents()
        self._validation_environments = components.environments(family)
        self._saved_at = -1

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint of the same run."""
        self.trainer.restore(tensors, state)

    def follow(self, events: TrainingEvents) -> None:
        """Tell `events` of the run's course, in place of whoever was told before."""
        self._events = events

    def train(self) -> None:
        """Train until a budget is spent, or whoever follows it wants it to stop.

        Raises `StoppedBySignal` after Ctrl-C or SIGTERM, and `TrainingError` when every task
        of a batch broke; the run folder then has a checkpoint to resume from.
        """
        with GracefulStop(NOTICE if self._progress else "") as stop:
            if not self.folder.has(LAST):
                # From the first moment on, whatever ends the run leaves something to resume.
                self._save(LAST)
            try:
                self._iterate(stop)
            except AllTasksDroppedError as error:
                self._save(LAST)
                iteration = self.trainer.counters.meta_iterations
                raise TrainingError(f"meta-iteration {iteration}: {error}") from error
            finally:
                self.trainer.close()
                self._validation_environments.close()
        if stop.requested is not None:
            raise StoppedBySignal(
                f"stopped by {stop.requested.name}; go on with: "
                f"metarl-gan train --resume {self.folder.path}"
            )

    def _iterate(self, stop: GracefulStop) -> None:
        trainer, events = self.trainer, self._events
        every = self.components.config.logging.checkpoint_every
        log = self._open_log()
        try:
            events.on_start(self._progress_so_far({}))
            while not trainer.finished() and stop.requested is None and not events.wants_to_stop:
                events.on_iteration_start()
                metrics = self._meta_iteration(log)
                metrics |= events.on_iteration_end(self._progress_so_far(metrics))
                log.log(trainer.counters.meta_iterations, metrics)
                if trainer.counters.meta_iterations % every == 0:
                    self._save_last()
            self._save_last()
            events.on_end()
        finally:
            log.close()

    def _progress_so_far(self, metrics: Metrics) -> Progress:
        counters = self.trainer.counters
        return Progress(
            meta_iterations=counters.meta_iterations,
            real_steps=counters.real_steps,
            metrics=metrics,
        )

    def _meta_iteration(self, log: MetricLog) -> Metrics:
        number = self.trainer.counters.meta_iterations + 1
        try:
            metrics = self.trainer.meta_iteration()
        finally:
            log.drop(number, self.trainer.take_dropped())
        if number % self.components.config.logging.validate_every == 0:
            metrics |= self._validate(log)
        elif self.trainer.finished():
            metrics |= self._validate_the_end(log)
        return metrics

    def _validate_the_end(self, log: MetricLog) -> Metrics:
        """The agent that a budget ends with is a candidate for the best, too.

        Nothing else may come of it: a run that goes on from here equals one that never stopped.
        """
        kept, gan = replace(self.trainer.counters), self.components.gan
        error = None if gan is None else gan.validation_error.clone()
        metrics = self._validate(log)
        self.trainer.counters = kept
        if gan is not None and error is not None:
            gan.validation_error.copy_(error)
        return metrics

    def _validate(self, log: MetricLog) -> Metrics:
        """Score on held-out tasks of the train split, and keep the best checkpoint so far."""
        counters = self.trainer.counters
        config = self.components.config
        # The same streams at every validation: scores differ by the agent alone.
        streams = Streams(self.trainer.streams.integer("validation"), self.components.device)
        evaluator = Evaluator(self.components, self._validation_environments, streams)
        tasks = self.trainer.task_sampler.validation_tasks
        try:
            curve = evaluator.adaptation_curve(tasks, config.sampler.support_episodes)
        except AllTasksDroppedError as error:
            log.drop(counters.meta_iterations, error.dropped)
            raise
        log.drop(counters.meta_iterations, curve.dropped)
        if self.components.gan is not None and evaluator.errors is not None:
            judged = evaluator.errors.judged(config.augmentation.gate_unrefined)
            self.components.gan.validation_error.copy_(judged.mean())
        counters.validation_real_steps += curve.real_steps
        before, after = curve.returns[:, 0].mean(), curve.returns[:, -1].mean()
        if counters.best_validation_return is None or after > counters.best_validation_return:
            counters.best_validation_return = float(after)
            self._save(BEST)
        return {
            "validation_return_before_adaptation": float(before),
            "validation_return": float(after),
            "validation_real_steps": float(counters.validation_real_steps),
            "validation_dropped_tasks": float(len(curve.dropped)),
        }

    def _save_last(self) -> None:
        """Write the checkpoint to resume from, once per meta-iteration."""
        if self._saved_at != self.trainer.counters.meta_iterations:
            self._save(LAST)
            self._saved_at = self.trainer.counters.meta_iterations

    def _save(self, name: str) -> None:
        tensors, state = self.trainer.tensors(), self.trainer.state()
        self.folder.save(name, self.components, tensors, state)

    def _open_log(self) -> MetricLog:
        config, counters = self.components.config, self.trainer.counters
        done = counters.meta_iterations
        logs: list[MetricLog] = [
            RunLog(self.folder.path, last_iteration=done, tensorboard=config.logging.tensorboard)
        ]
        if self._progress:
            logs.append(
                ProgressLog(
                    iterations=config.iterations,
                    max_real_steps=config.max_real_steps,
                    first_iteration=done,
                    first_real_steps=counters.real_steps,
                )
            )
        return FanOutLog(logs)

"""Environments in this process, stepped one after the other."""

import contextlib
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.action_format import action_format
from metarl_gan.envs.stepping.environment_source import EnvironmentSource
from metarl_gan.envs.stepping.rows import (
    EnvironmentRows,
    Failures,
    Outcome,
    describe_failure,
    told_success,
)
from metarl_gan.envs.task import Task

# A user's environment may raise anything; one that calls sys.exit() must not end the run.
_ANYTHING = (Exception, SystemExit)

Note = Callable[[int, str], None]


def _to_nobody(row: int, what: str) -> None:
    pass


class LocalRows(EnvironmentRows):
    """The environments that `family.make` builds, in a Python loop.

    Args:
        family: Builds the environments.
        note: Told, before each call of an environment, its row and what is called: "make",
            "retask", "reset", "step" or "close".
    """

    def __init__(self, family: EnvironmentSource, note: Note = _to_nobody) -> None:
        self.family = family
        self.envs: dict[int, gymnasium.Env] = {}
        self._note = note
        self._doing = ""
        self._shape = family.observation_space.shape or ()
        self._unpack = action_format(family.action_space).unpack
        self.tasks: dict[int, Task] = {}
        self._broken: set[int] = set()
        self._failures: Failures = {}

    @property
    def backend(self) -> str:
        return "sync"

    def know(self, tasks: Mapping[int, Task]) -> None:
        """Take the tasks of rows that `start` is to make."""
        self.tasks |= tasks

    def assign(self, tasks: Mapping[int, Task]) -> Failures:
        self.tasks |= tasks
        for row in tasks:
            try:
                if not self._retask(row):
                    self._make(row)
            except _ANYTHING as error:
                self._fail(row, error)
        return self._take_failures()

    def start(self, seeds: Mapping[int, int | None]) -> tuple[np.ndarray, Failures]:
        observations = np.full((len(seeds), *self._shape), np.nan, np.float32)
        for place, (row, seed) in enumerate(seeds.items()):
            try:
                if row in self._broken or row not in self.envs:
                    self._make(row)
                observations[place] = self._reset(row, seed)
            except _ANYTHING as error:
                self._fail(row, error)
        return observations, self._take_failures()

    def advance(self, rows: np.ndarray, actions: np.ndarray) -> tuple[Outcome, Failures]:
        outcome = Outcome.empty(len(rows), self._shape)
        failures = self.advance_into(outcome, np.arange(len(rows)), rows, actions)
        return outcome, failures

    def advance_into(
        self, outcome: Outcome, places: np.ndarray, rows: np.ndarray, actions: np.ndarray
    ) -> Failures:
        """Step `rows` with `actions`, and write what they lead to at `places` of `outcome`."""
        for place, row, action in zip(places.tolist(), rows.tolist(), actions, strict=True):
            try:
                self._begin(row, "step")
                result = self.envs[row].step(self._unpack(action))
                observation, reward, terminated, truncated, info = result
                # All of it is read before any of it is kept.
                read = self._row(observation), float(reward), bool(terminated), bool(truncated)
                success = told_success(info)
            except _ANYTHING as error:
                self._fail(row, error)
                outcome.break_down(place)
                continue
            outcome.observations[place], outcome.rewards[place] = read[0], read[1]
            outcome.terminated[place], outcome.truncated[place] = read[2], read[3]
            outcome.success[place] = success
        return self._take_failures()

    def replay(self, row: int, seed: int, actions: np.ndarray) -> tuple[np.ndarray, Failures]:
        """Make a row's environment and bring it to where `seed` and `actions` `[time, …]` lead.

        Returns the observation reached, `[obs]`.
        """
        reached, failures = self.start({row: seed})
        for action in actions:
            if failures:
                break
            outcome, failures = self.advance(np.array([row]), action[None])
            reached = outcome.observations
        return reached[0], failures

    def close(self) -> None:
        for row in list(self.envs):
            self._discard(row)

    def _begin(self, row: int, what: str) -> None:
        self._doing = what
        self._note(row, what)

    def _make(self, row: int) -> None:
        self._discard(row)
        self._begin(row, "make")
        self.envs[row] = self.family.make(self.tasks[row])

    def _retask(self, row: int) -> bool:
        if row in self._broken or row not in self.envs:
            return False
        self._begin(row, "retask")
        return self.family.retask(self.envs[row], self.tasks[row])

    def _reset(self, row: int, seed: int | None) -> np.ndarray:
        self._begin(row, "reset")
        observation, _ = self.envs[row].reset(seed=seed)
        return self._row(observation)

    def _discard(self, row: int) -> None:
        self._broken.discard(row)
        env = self.envs.pop(row, None)
        if env is not None:
            self._begin(row, "close")
            with contextlib.suppress(*_ANYTHING):
                env.close()

    def _fail(self, row: int, error: BaseException) -> None:
        # It stays open until it is replaced: somebody may want to look at it.
        self._broken.add(row)
        cause = f"{type(error).__name__}: {error}".partition("\n")[0].removesuffix(": ")
        details = "".join(traceback.format_exception(error))
        self._failures[row] = describe_failure(self._doing, self.tasks[row], row, cause, details)

    def _take_failures(self) -> Failures:
        taken, self._failures = self._failures, {}
        return taken

    def _row(self, observation: Any) -> np.ndarray:  # noqa: ANN401 - whatever it returned
        row = np.asarray(observation, np.float32)
        if row.shape != self._shape:
            raise ValueError(f"the observation has shape {row.shape}; the space says {self._shape}")
        return row

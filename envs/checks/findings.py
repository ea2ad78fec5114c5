"""What the checks of one family share: rollouts, a limit of time, and what they found."""

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metarl_gan.envs.checks.other_process import OtherProcess
from metarl_gan.envs.checks.trace import Trace, play, play_rows, seed_global_generators
from metarl_gan.envs.distributions import Choice, Distribution
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import ParameterValue, Task

N_DRAWN = 100  # tasks of each split
SHORT = 50  # steps that show most differences
WAYS_OF_HOLDING = 3  # an action: not at all, for a while, all along


class BrokenEnvironmentError(Exception):
    """An environment raised.

    `where` names the task and the line of code, `why` the error, without the traceback.
    """

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where, self.why = where, why


class OutOfTimeError(Exception):
    """What a check still wanted to play does not fit into the time; the message says what."""


@dataclass(kw_only=True)
class Clock:
    """Time that the checks may take, and what rollouts have cost so far."""

    seconds: float
    started: float = field(default_factory=time.monotonic)
    episodes: int = 0
    steps: int = 0
    spent_on_starts: float = 0.0
    spent_on_steps: float = 0.0

    def require(self, episodes: int, steps: int) -> None:
        """Raise `OutOfTimeError` if so many more episodes and steps would take too long."""
        start = self.spent_on_starts / max(self.episodes, 1)
        step = self.spent_on_steps / max(self.steps, 1)
        expected = episodes * start + steps * step
        if expected > self.left():
            raise OutOfTimeError(
                f"{steps} steps more would take about {expected:.1f} s of the "
                f"{max(0.0, self.left()):.1f} s that are left"
            )

    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self.started)

    def add(self, *, starts: int, start_seconds: float, steps: int, step_seconds: float) -> None:
        """Note what was played."""
        self.episodes += starts
        self.spent_on_starts += start_seconds
        self.steps += steps
        self.spent_on_steps += step_seconds


@dataclass(kw_only=True)
class Findings:
    """The family that is checked, ways to play it, and what was found.

    Attributes:
        family: The family.
        seed: Of tasks, environments and actions.
        clock: Keeps the time.
        problems: What makes the family unfit to learn on.
        warnings: What may be meant so.
        skipped: What was not checked, and why.
        effects: By parameter, by how much at most it changed an observation or a reward.
        elsewhere: Another process that tries the family meanwhile.
        draws: Tasks drawn so far, by split.
        played: Episodes played so far.
        reproducible: Whether a seed fixes an episode; without it, nothing can be compared.
        self_contained: Whether it does so whatever the state of the global generators.
    """

    family: TaskFamily
    seed: int
    clock: Clock
    elsewhere: OtherProcess | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    effects: dict[str, float] = field(default_factory=dict)
    draws: dict[str, list[Task]] = field(default_factory=dict, repr=False)
    played: dict[tuple, Trace] = field(default_factory=dict, repr=False)
    reproducible: bool = True
    self_contained: bool = True

    def problem(self, what: str, *, mend: str) -> None:
        """Note a problem: what and where, and how to mend it."""
        self.problems.append(_text(what, mend))

    def warn(self, what: str, *, mend: str) -> None:
        """Note what may be a mistake: what and where, and what to do if it is one."""
        self.warnings.append(_text(what, mend))

    def tasks(self, n: int, split: str = "train") -> list[Task]:
        """The first `n` tasks of a split, each once; fewer where it has fewer."""
        return list(dict.fromkeys(self.family.sample(n, split=split, seed=self.seed)))

    def drawn(self, split: str) -> list[Task]:
        """`N_DRAWN` tasks of a split, drawn once."""
        if split not in self.draws:
            self.draws[split] = self.family.sample(N_DRAWN, split=split, seed=self.seed)
        return self.draws[split]

    def of_every_split(self, n: int) -> list[Task]:
        """The first `n` tasks of every split."""
        return [task for split in self.family.splits for task in self.tasks(n, split)]

    def corner_tasks(self) -> list[Task]:
        """The tasks with every train parameter at its lowest, and at its highest value."""
        ranges = self.family.parameters
        if sum(isinstance(range_, Choice) for range_ in ranges.values()) > 1:
            return []  # not every combination of choices need exist
        ends = {name: extremes(range_) for name, range_ in ranges.items()}
        lowest = self.family.task(**{name: values[0] for name, values in ends.items()})
        highest = self.family.task(**{name: values[-1] for name, values in ends.items()})
        return list(dict.fromkeys([lowest, highest]))

    def play(self, task: Task, *, steps: int = SHORT, way: int = 0, row: int = 0) -> Trace:
        """One episode of `task`; the same arguments play it once.

        Args:
            task: Which task.
            steps: The longest that it is played.
            way: Number of the seed, and of how long actions are held: 0 is noise.
            row: Which row of a vector environment it plays like.
        """
        key = (task.id, steps, way, row)
        if key not in self.played:
            self.played[key] = self.play_anew(task, steps=steps, way=way, row=row)
        return self.played[key]

    def play_anew(
        self, task: Task, *, steps: int = SHORT, way: int = 0, row: int = 0, global_seed: int = 0
    ) -> Trace:
        """One episode in a new environment of `task`, played whatever was played before.

        `global_seed` is what Python's and numpy's global generators are seeded with.
        """
        self.clock.require(1, steps)
        seed_global_generators(global_seed)
        began = time.monotonic()
        with naming(task.id):
            env = self.family.make(task)
            made = time.monotonic()
            trace = play(env, steps=steps, seed=self.seed + way + row, hold=self.hold(way))
        self.clock.add(
            starts=1,
            start_seconds=made - began,
            steps=trace.steps,
            step_seconds=time.monotonic() - made,
        )
        return trace

    def play_rows(self, venv: TaskVectorEnv, *, steps: int = SHORT, way: int = 0) -> list[Trace]:
        """One episode of every environment; see `play`."""
        self.clock.require(venv.num_envs, steps * venv.num_envs)
        seed_global_generators(0)
        return play_rows(venv, steps=steps, seed=self.seed + way, hold=self.hold(way))

    def hold(self, way: int) -> int:
        """For how many steps each action is kept: noise, held for a while, or all along."""
        horizon = self.family.horizon
        return (1, max(2, horizon // 10), horizon)[way % WAYS_OF_HOLDING]

    def varied(self, task: Task, name: str, value: ParameterValue) -> Task:
        """`task` with another value of one parameter."""
        return self.family.task(**{**task.parameters, name: value})


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Turn whatever an environment raises inside into `BrokenEnvironmentError`."""
    try:
        yield
    except (OutOfTimeError, BrokenEnvironmentError):
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{where} ({Path(frame.filename).name}, line {frame.lineno})"
        raise BrokenEnvironmentError(at, f"{type(error).__name__}: {error}".strip()) from error


def extremes(range_: Distribution) -> list[ParameterValue]:
    """The lowest and the highest value of a range; one if it has only one."""
    if isinstance(range_, Choice):
        ordered = sorted(range_.values, key=range_.normalise)
        return list(dict.fromkeys([ordered[0], ordered[-1]]))
    bounds: Sequence[ParameterValue] = [b for b in (range_.low, range_.high) if range_.contains(b)]
    drawn = [range_.sample(np.random.default_rng(seed)) for seed in range(20)]
    ordered = sorted([*bounds, *drawn], key=range_.normalise)
    return list(dict.fromkeys([ordered[0], ordered[-1]]))


def _text(what: str, mend: str) -> str:
    return f"{what.rstrip('.')}; {mend}"

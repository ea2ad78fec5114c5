"""Environments that take their process down, or never come back."""

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np

from metarl_gan.envs import Choice, FamilyError, ParametricFamily, TaskFamily, TaskSpace, Uniform
from metarl_gan.envs.task_env import TaskEnv, float32_box
from tests.envs.toys import Walk

WAYS = ("none", "raise", "exit", "leave", "segfault", "kill", "hang")


class Stroll(Walk):
    """A walk with noise in every step, and ends after between 6 and 11 steps."""

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed, options=options)
        self.length = 6 + int(self.np_random.integers(6))
        return observation, info

    def step(self, action):
        self.total += float(self.np_random.normal())
        return super().step(action)


class Breaking(Stroll):
    """Breaks in the way `way`: when made, when reset, or in its third step. Then it is scrap."""

    made = 0

    def __init__(self, scale=1.0, way="none", where="step"):
        super().__init__(scale)
        self.way, self.where, self.scrap = way, where, False
        type(self).made += 1
        if where == "make":
            break_down(way)

    def reset(self, *, seed=None, options=None):
        if self.scrap:
            raise RuntimeError("scrap")
        if self.where == "reset":
            break_down(self.way)
        return super().reset(seed=seed, options=options)

    def step(self, action):
        if self.where == "step" and self.count == 2:
            self.scrap = self.way == "raise"
            break_down(self.way)
        return super().step(action)


def break_down(way):
    if way == "raise":
        raise RuntimeError("motor burnt")
    if way == "exit":
        os._exit(3)
    if way == "leave":
        raise SystemExit(0)
    if way == "segfault":
        ctypes.string_at(0)
    if way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "hang":
        time.sleep(1000)


class Contagious(Stroll):
    """With scale above 1.5, its third step leaves `mark` and ends the process; with one above 1,
    its process ends in the second step if there is a mark already."""

    def __init__(self, scale, mark):
        super().__init__(scale)
        self.mark = Path(mark)

    def step(self, action):
        if self.scale > 1.5 and self.count == 2:
            self.mark.touch()
            os._exit(3)
        if 1.0 < self.scale <= 1.5 and self.count == 1 and self.mark.exists():
            os._exit(4)
        return super().step(action)


class Outsider(Walk):
    """Observes its process: its id, its threads, a path that it finds modules on."""

    def observation(self):
        return np.array([os.getpid(), float(os.environ.get("OMP_NUM_THREADS", "0"))])


class Slow(Stroll):
    """A step takes `seconds`, a reset `start_seconds`."""

    def __init__(self, scale=1.0, seconds=0.01, start_seconds=0.0):
        super().__init__(scale)
        self.seconds, self.start_seconds = seconds, start_seconds

    def reset(self, *, seed=None, options=None):
        time.sleep(self.start_seconds)
        return super().reset(seed=seed, options=options)

    def step(self, action):
        time.sleep(self.seconds)
        return super().step(action)


class Remembering(ParametricFamily):
    """Makes only tasks that it remembers having sampled, as adapters of other task APIs do."""

    def __init__(self):
        super().__init__(Stroll, {"scale": Uniform(0.5, 2.0)}, horizon=8)
        self.known = set()

    def sample(self, n, *, split="train", seed):
        tasks = super().sample(n, split=split, seed=seed)
        self.known |= {task.id for task in tasks}
        return tasks

    def make(self, task, *, render_mode=None):
        if task.id not in self.known:
            raise FamilyError(f"task {task.id} was never sampled")
        return super().make(task, render_mode=render_mode)


class Homebound(ParametricFamily):
    """Can be pickled, but not be unpickled anywhere else."""

    def __init__(self):
        super().__init__(Stroll, {"scale": Uniform(0.5, 2.0)}, horizon=8)

    def __setstate__(self, state):
        raise ModuleNotFoundError("No module named 'homework'")


class BreakingFamily(TaskFamily):
    """Tasks `way`, `where` and `scale` of `Breaking`."""

    def __init__(self, ways=WAYS, places=("make", "reset", "step")):
        ranges = {
            "scale": Uniform(0.5, 2.0),
            "way": Choice(list(ways)),
            "where": Choice(list(places)),
        }
        super().__init__(
            name="breaking",
            task_space=TaskSpace(parameters=ranges, splits=("train",)),
            observation_space=float32_box(Walk.observation_space),
            action_space=Walk.action_space,
            horizon=9,
        )

    def make(self, task, *, render_mode=None):
        return TaskEnv(Breaking(**task.parameters), task)

"""Environments that bring their tasks in the ways of other packages; some do it wrongly."""

import random
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces


class Line(gymnasium.Env):
    """A point on a line; the reward is minus its distance from a goal that is not observed."""

    observation_space: gymnasium.Space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space: gymnasium.Space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    max_path_length: int | None = 12

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.goal = 0.0
        self.x = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = float(self.np_random.uniform(-0.1, 0.1))
        return np.array([self.x]), {}

    def step(self, action):
        self.x += 0.1 * float(np.asarray(action).reshape(-1)[0])
        return np.array([self.x]), -abs(self.x - self.goal), False, False, {}


class Garage(Line):
    """`sample_tasks` from numpy's global generator, as most do; tasks are dictionaries."""

    def sample_tasks(self, num_tasks):
        goals = np.random.uniform(-2.0, 2.0, num_tasks)  # noqa: NPY002
        return [{"kind": 1, "goal": goal} for goal in goals]

    def set_task(self, task):
        self.goal = task["goal"]


class Learn2Learn(Line):
    """`sample_tasks` from the environment's own generator; tasks are vectors."""

    def sample_tasks(self, num_tasks):
        return list(self.np_random.uniform(-2.0, 2.0, (num_tasks, 2)))

    def set_task(self, task):
        self.goal = float(task[0])


class Pearl(Line):
    """Tasks are drawn in the constructor, and known by their index."""

    _max_episode_steps = 9
    max_path_length = None

    def __init__(self, n_tasks=30, render_mode=None):
        super().__init__(render_mode)
        drawn = np.random.uniform(-2.0, 2.0, n_tasks)  # noqa: NPY002
        self.tasks = [{"goal": goal} for goal in drawn]
        self.reset_task(0)

    def get_all_task_idx(self):
        return range(len(self.tasks))

    def reset_task(self, idx):
        self.goal = self.tasks[idx]["goal"]
        self.reset()


class Varibad(Line):
    """`reset_task(None)` draws a task, from Python's generator, into the one array it keeps."""

    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        self.task = np.zeros(1)

    def get_task(self):
        return self.task

    def reset_task(self, task=None):
        self.task[0] = random.uniform(-2.0, 2.0) if task is None else task[0]
        self.goal = float(self.task[0])


class Direction(Line):
    """Two tasks in all, drawn with repetition."""

    def sample_tasks(self, num_tasks):
        return [{"direction": way} for way in np.random.choice([-1, 1], num_tasks)]  # noqa: NPY002

    def set_task(self, task):
        self.goal = 5.0 * task["direction"]


class Plan(NamedTuple):
    """A task of names and numbers."""

    name: str
    goal: float


class Named(Line):
    """Tasks that are not made of numbers alone."""

    def sample_tasks(self, num_tasks):
        return [Plan("left", -float(goal)) for goal in np.random.uniform(0, 2, num_tasks)]  # noqa: NPY002

    def set_task(self, task):
        self.goal = task.goal


class Unseeded(Garage):
    """Tasks from a generator that no seed reaches."""

    def sample_tasks(self, num_tasks):
        return [{"goal": goal} for goal in np.random.default_rng().uniform(-1, 1, num_tasks)]


class PickyConstructor(Garage):
    """Cannot be made."""

    def __init__(self):
        raise OSError("no licence")


class Resampling(Garage):
    """`reset` draws another task, as some do in training."""

    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed)
        self.goal = float(self.np_random.uniform(-2.0, 2.0))
        return result


class Deaf(Garage):
    """`reset` heeds no seed."""

    def reset(self, *, seed=None, options=None):
        self.x = 0.0
        return np.array([self.x]), {}


class OldStep(Garage):
    """Gymnasium's in name, but `step` returns four values."""

    def step(self, action) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


class OldReset(Garage):
    """Gymnasium's in name, but `reset` returns the observation alone."""

    def reset(self, *, seed=None, options=None) -> Any:
        return super().reset(seed=seed)[0]


class OldSeed(Garage):
    """Gymnasium's in name, but `reset` takes no seed."""

    def reset(self) -> Any:  # type: ignore[override]
        return np.zeros(1)


class Kin:
    """As `gym.Env` of the old package: not Gymnasium's."""

    observation_space = Line.observation_space
    action_space = Line.action_space

    def reset(self):
        return np.zeros(1)

    def step(self, action):
        return np.zeros(1), 0.0, False, {}

    def sample_tasks(self, num_tasks):
        return list(range(num_tasks))

    def set_task(self, task):
        pass


OldGym = type("OldGym", (type("Env", (Kin,), {"__module__": "gym.core"}),), {})
"""As if derived from `gym.Env`, which is not installed here."""


class Layered(gymnasium.Wrapper):
    """A wrapper, which forwards no attribute."""

"""Families with one fault each, for `check_family` to find, and some that only look as if."""

import random
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs import Task, TaskFamily, TaskSpace, TaskVectorEnv, Uniform
from metarl_gan.envs.distributions import Choice
from metarl_gan.envs.task_env import TaskEnv
from tests.envs.toys import SCALES, Walk


class Unruly(Walk):
    """Its reset seeds nothing."""

    def reset(self, *, seed=None, options=None):
        self.count, self.total = 0, 0.0
        return self.observation(), {}


class Deaf(Walk):
    """Does not hear of its task."""

    def __init__(self, scale=1.0):
        super().__init__()


class Blunt(Walk):
    """Scales below 1.8 are all the same to it."""

    def __init__(self, scale=1.0):
        super().__init__(max(scale, 1.8))


class Redrawing(Walk):
    """Every reset draws another scale."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.scale = float(self.np_random.uniform(0.5, 2.0))
        return self.observation(), {}


class Worn(Walk):
    """What a step changes, no reset puts back."""

    used = 0

    def step(self, action):
        self.used += 1
        return super().step(action * (1 + self.used))


class SharedDice(Walk):
    """Starts from numpy's global generator."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.total = float(np.random.uniform())  # noqa: NPY002 - the fault
        return self.observation(), {}


class Hashed(Walk):
    """Starts from a hash, which is another in every process."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.total = hash("start") % 1000 / 1000
        return self.observation(), {}


class Overpaid(Walk):
    """An infinite reward after four steps."""

    def step(self, action):
        observation, reward, ended, late, info = super().step(action)
        return observation, np.inf if self.count == 4 else reward, ended, late, info


class Mistyped(Walk):
    """Says float32 and gives float64."""

    observation_space = spaces.Box(-1e6, 1e6, (2,), np.float32)


class Leaky(Walk):
    """The last observation is the scale, squared."""

    observation_space = spaces.Box(-1e6, 1e6, (3,), np.float64)

    def observation(self):
        return np.append(super().observation(), self.scale**2)


class Bearing(gymnasium.Env):
    """Walks on a line and sees where it is, and how far it has to go: the sum is the goal."""

    observation_space = spaces.Box(-1e3, 1e3, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, goal=0.0):
        self.goal, self.position = goal, 0.0

    def observation(self):
        return np.array([self.position, self.goal - self.position], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = float(self.np_random.uniform(-1, 1))
        return self.observation(), {}

    def step(self, action):
        self.position += float(action[0])
        return self.observation(), -abs(self.goal - self.position), False, False, {}


class Doubtful(Walk):
    """A parameter that changes a digit that hardly counts."""

    def step(self, action):
        observation, reward, ended, late, info = super().step(action)
        return observation, reward + 1e-9 * self.unused, ended, late, info


class FarAway(Walk):
    """A reward of 0 as far as random actions ever come."""

    def step(self, action):
        observation, _, ended, late, info = super().step(action)
        self.total = 0.0
        return observation * 0, self.scale * float(self.count > 500), ended, late, info


class Distant(Walk):
    """Sound: `unused` is what a total pays that noise hardly reaches."""

    def step(self, action):
        observation, reward, ended, late, info = super().step(action)
        return observation, reward + self.unused * (abs(self.total) > 12), ended, late, info


class Turning(Walk):
    """Sound: one full turn of `unused` is where it began."""

    def step(self, action):
        return super().step(action * (1 + 0.5 * np.cos(self.unused)))


class Rougher(Walk):
    """Sound: of `scale` and `unused` the larger one counts, and it is mostly `scale`."""

    def step(self, action):
        return super().step(action * max(1.0, self.unused / self.scale))


class Needle(Walk):
    """Sound: pays only near `scale`, which for many tasks is farther than anyone walks."""

    place = 0.0
    cost = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0.0
        return self.observation(), {}

    def observation(self):
        return np.array([self.count, self.place])

    def step(self, action):
        self.place += float(action[0])
        _, _, ended, late, info = super().step(action * 0)
        reward = float(abs(self.place - self.scale) < 1) - self.cost * float(action[0]) ** 2
        return self.observation(), reward, ended, late, info


class DearNeedle(Needle):
    """Sound: so does this one, and every action costs."""

    cost = 0.1


class Slow(Walk):
    """A twentieth of a second per step."""

    def step(self, action):
        time.sleep(0.05)
        return super().step(action)


class PlainFamily(TaskFamily):
    """`Walk` as a family of its own making; each option breaks one thing."""

    def __init__(self, parameters=None, *, env=Walk, box=None, splits=("train", "test")):
        super().__init__(
            name="plain",
            task_space=TaskSpace(parameters=parameters or SCALES, splits=splits),
            observation_space=box or env.observation_space,
            action_space=env.action_space,
            horizon=10,
        )
        self.env = env

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        env = self.env(**task.parameters)
        return gymnasium.wrappers.TimeLimit(env, self.horizon)


class Growing(PlainFamily):
    """The heavier the task, the longer the observation."""

    def make(self, task, *, render_mode=None):
        env = super().make(task)
        if task.parameters["scale"] < 1.25:
            return env
        box = spaces.Box(-1e6, 1e6, (3,), np.float64)
        return gymnasium.wrappers.TransformObservation(env, lambda o: np.append(o, 0.0), box)


class Overlapping(PlainFamily):
    """Deals the same tasks to train and test."""

    def sample(self, n, *, split="train", seed):
        return super().sample(n, split="train", seed=seed)


class Renamed(PlainFamily):
    """Deals the same parameters to train and test, under other ids."""

    def sample(self, n, *, split="train", seed):
        tasks = super().sample(n, split="train", seed=seed)
        return [
            Task(
                family=task.family,
                parameters=task.parameters,
                id=f"{task.id}-{split}",
                descriptor=task.descriptor,
            )
            for task in tasks
        ]


class Repeating(PlainFamily):
    """Draws each task for four workers."""

    def sample(self, n, *, split="train", seed):
        return [t for t in super().sample(n, split=split, seed=seed) for _ in range(4)][:n]


class Stubborn(PlainFamily):
    """Draws the same tasks for every seed."""

    def sample(self, n, *, split="train", seed):
        return super().sample(n, split=split, seed=0)


class GlobalDraws(PlainFamily):
    """Draws from numpy's global generator."""

    def sample(self, n, *, split="train", seed):
        seed = int(np.random.randint(1000))  # noqa: NPY002 - the fault
        return super().sample(n, split=split, seed=seed)


class FreshDraws(PlainFamily):
    """Draws from the operating system."""

    def sample(self, n, *, split="train", seed):
        return super().sample(n, split=split, seed=random.SystemRandom().randrange(1000))


class HashedDraws(PlainFamily):
    """Draws by a hash, which is another in every process."""

    def sample(self, n, *, split="train", seed):
        return super().sample(n, split=split, seed=hash(f"{split} {seed}") % 1000)


class Nameless(PlainFamily):
    """Gives all tasks one descriptor."""

    def sample(self, n, *, split="train", seed):
        return [
            Task(family=task.family, parameters=task.parameters, id=task.id, descriptor=np.zeros(1))
            for task in super().sample(n, split=split, seed=seed)
        ]


class Retuning(PlainFamily):
    """Retasks by a factor of what is there."""

    def make(self, task, *, render_mode=None):
        return TaskEnv(super().make(task), task)

    def retask(self, env, task):
        walk: Any = env.unwrapped
        walk.scale *= task.parameters["scale"]
        return True


class _Rows(TaskVectorEnv):
    """`Walk` as arrays."""

    def __init__(self, family, tasks, envs_per_task):
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=family.observation_space,
            action_space=family.action_space,
            horizon=family.horizon,
        )
        self._family = family
        self._counts, self._totals = np.zeros(self.num_envs), np.zeros(self.num_envs)
        self._retask()

    def _retask(self):
        self._scales = self._family.scales(self.parameter("scale"))

    def _start(self, rows, seed):
        self._counts[rows] = 0
        generators = self._row_generators(rows)
        starts = [generator.uniform() for generator in generators]
        self._totals[rows] = self._family.starts(np.array(starts))
        return np.stack([self._counts[rows], self._totals[rows]], axis=-1), {}

    def _advance(self, actions, rows):
        self._counts[rows] += 1
        rewards = self._scales[rows] * actions[:, 0]
        self._totals[rows] += rewards
        observations = np.stack([self._counts[rows], self._totals[rows]], axis=-1)
        never = np.zeros(len(rows), bool)
        return observations, rewards, never, never, {}


class Batched(PlainFamily):
    """`Walk` in arrays, as it ought to be."""

    def make_native(self, tasks, envs_per_task):
        return _Rows(self, tasks, envs_per_task)

    def scales(self, scales):
        return scales

    def starts(self, starts):
        return starts


class OneForAll(Batched):
    """Every row plays the first task."""

    def scales(self, scales):
        return np.full_like(scales, scales[0])


class InStep(Batched):
    """Every row starts as the first one does."""

    def starts(self, starts):
        return np.full_like(starts, starts[0])


class Restless(Batched):
    """Rows do not stand still when their episode is over."""

    def make_native(self, tasks, envs_per_task):
        return _Restless(self, tasks, envs_per_task)


class _Restless(_Rows):
    def step(self, actions):
        result = super().step(actions)
        rewards = np.where(self._finished, 1.0, result[1])
        return (result[0], rewards.astype(np.float32), *result[2:])


class Early(PlainFamily):
    """Always terminates early, and has no time limit."""

    def make(self, task, *, render_mode=None):
        return Walk(**task.parameters, length=4)


class Hasty(PlainFamily):
    """Its time limit is shorter than it says."""

    def make(self, task, *, render_mode=None):
        return gymnasium.wrappers.TimeLimit(Walk(**task.parameters), 6)


UNUSED = {"scale": Uniform(0.5, 2.0), "unused": Uniform(0.0, 1.0)}
TWO = {"scale": Choice([0.5, 2.0])}

"""Small families and environments, some broken on purpose."""

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs import ParametricFamily, TaskFamily, TaskSpace, Uniform


class Walk(gymnasium.Env):
    """The observation counts steps and sums rewards; ends when the count reaches `length`."""

    observation_space = spaces.Box(-1e6, 1e6, (2,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, scale=1.0, length=1000.0, unused=0.0):
        self.scale, self.length, self.unused = scale, length, unused
        self.count, self.total = 0, 0.0
        self.seen_actions = []

    def observation(self):
        return np.array([self.count, self.total])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count, self.total = 0, float(self.np_random.uniform())
        return self.observation(), {}

    def step(self, action):
        self.seen_actions.append(float(action[0]))
        self.count += 1
        reward = self.scale * float(action[0])
        self.total += reward
        return self.observation(), reward, self.count >= self.length, False, {}


class Choosy(Walk):
    """Discrete actions; reward is the action times the scale."""

    action_space = spaces.Discrete(3)

    def step(self, action):
        return super().step(np.array([action]))


class Fragile(Walk):
    """Raises in its third step when the scale is above 1, and in reset when it is above 2."""

    def reset(self, *, seed=None, options=None):
        if self.scale > 2:
            raise RuntimeError("no power")
        return super().reset(seed=seed, options=options)

    def step(self, action):
        if self.scale > 1 and self.count == 2:
            raise RuntimeError("motor burnt")
        return super().step(action)


class Forgetful(Walk):
    """Every reset but the first of a fresh instance changes the task."""

    resets = 0

    def reset(self, *, seed=None, options=None):
        self.resets += 1
        if self.resets > 1:
            self.scale = 5.0
        return super().reset(seed=seed, options=options)


class Haphazard(Walk):
    """Starts from randomness that no seed reaches."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.total = float(np.random.default_rng().uniform())
        return self.observation(), {}


class Poisoned(Walk):
    """NaN after four steps."""

    def step(self, action):
        observation, *rest = super().step(action)
        return (observation * (np.nan if self.count == 4 else 1), *rest)


class Outside(Walk):
    """Leaves its observation space."""

    observation_space = spaces.Box(0.0, 3.0, (2,), np.float64)


class Pixels(Walk):
    """An observation space that is not supported."""

    observation_space = spaces.Box(0, 255, (4, 4), np.uint8)

    def observation(self):
        return np.zeros((4, 4), np.uint8)


SCALES = {"scale": Uniform(0.5, 2.0)}


def family_of(env_class, parameters=None, *, horizon=10, **options):
    return ParametricFamily(env_class, parameters or SCALES, horizon=horizon, **options)


class Endless(TaskFamily):
    """Its `make` forgets the time limit."""

    def __init__(self):
        super().__init__(
            name="endless",
            task_space=TaskSpace(parameters=SCALES),
            observation_space=Walk.observation_space,
            action_space=Walk.action_space,
            horizon=10,
        )

    def make(self, task, *, render_mode=None):
        return Walk(**task.parameters)

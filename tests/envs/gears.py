"""A point that chooses a gear and a thrust: actions of a continuous and a discrete part."""

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs import Choice, ParametricFamily, Uniform

GEARS = spaces.Discrete(3, start=1)
THRUST = spaces.Box(0.0, 1.0, (1,), np.float32)


class Gears(gymnasium.Env):
    """The thrust moves the point by at most `power`, in the one gear that works. Goal: 1.

    It falls off the line at 2, and refuses actions that its own space does not contain.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space: gymnasium.Space = spaces.Tuple([GEARS, THRUST])

    def __init__(self, gear=1, power=0.3):
        self.gear, self.power = gear, power

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.time = float(self.np_random.uniform(-0.1, 0.1)), 0
        return self.observation(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        gear, thrust = self.read(action)
        self.time += 1
        self.x += self.power * thrust * float(gear == self.gear)
        return self.observation(), -abs(self.x - 1.0), abs(self.x) > 2.0, False, {}

    def read(self, action):
        return int(action[0]), float(action[1][0])

    def observation(self):
        return np.array([self.x, self.time / 10], np.float32)


class NamedGears(Gears):
    """The same by name, and with a brake of a shape of its own."""

    action_space = spaces.Dict({"gear": GEARS, "thrust": THRUST, "brake": spaces.Box(0, 1, ())})

    def read(self, action):
        return int(action["gear"]), float(action["thrust"][0] * (1 - action["brake"]))


class Levers(Gears):
    """The thrust has five steps: a `MultiDiscrete`."""

    action_space = spaces.MultiDiscrete([3, 5], start=[1, -2])

    def read(self, action):
        return int(action[0]), float(action[1]) / 2


KINDS = {"tuple": Gears, "dict": NamedGears, "levers": Levers}


def gears(kind="tuple"):
    parameters = {"gear": Choice([1, 2, 3]), "power": Uniform(0.2, 0.4)}
    return ParametricFamily(KINDS[kind], parameters, horizon=8, name=f"gears-{kind}")

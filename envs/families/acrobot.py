"""`acrobot-physics`: swing up two links of unknown gravity, lengths, masses and motor."""

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium.envs.classic_control.acrobot import AcrobotEnv

from metarl_gan.envs.distributions import Uniform
from metarl_gan.envs.families.classic_control import ClassicControlFamily, ClassicRules
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import ParameterValue
from metarl_gan.envs.task_space import TaskSpace

HORIZON = 500
_GYMNASIUM_GRAVITY = 9.8  # m/s^2, a literal in AcrobotEnv._dsdt

_RANGES = {
    "gravity": Uniform(8.0, 12.0, unit="m/s^2"),
    "link_length_1": Uniform(0.7, 1.3, unit="m"),
    "link_length_2": Uniform(0.7, 1.3, unit="m"),
    "link_mass_1": Uniform(0.7, 1.3, unit="kg"),
    "link_mass_2": Uniform(0.7, 1.3, unit="kg"),
    "link_moi": Uniform(0.7, 1.3, unit="kg m^2"),
    "torque": Uniform(0.7, 1.3, unit="N m"),
}
_OUTSIDE = {name: Uniform(0.5, 1.5, unit=range_.unit) for name, range_ in _RANGES.items()} | {
    "gravity": Uniform(6.0, 14.0, unit="m/s^2")
}


def acrobot_physics() -> TaskFamily:
    """Gymnasium's Acrobot-v1 with other physics in every task; the reward is the same.

    - Task: `gravity` in [8, 12] m/s², `link_length_1`, `link_length_2` in [0.7, 1.3] m,
      `link_mass_1`, `link_mass_2` in [0.7, 1.3] kg, `link_moi` (moment of inertia of each link)
      in [0.7, 1.3] kg m², `torque` in [0.7, 1.3] N m, each uniform. Out of distribution: [6, 14]
      m/s², all others [0.5, 1.5], outside of that box. The centre of mass stays in the middle of
      its link; as in Gymnasium the moment of inertia is a figure of its own.
    - Observation (6): cos and sin of both joint angles, angular velocities (rad/s, at most 4π and
      9π). Action: torque `-torque`, 0 or `torque` on the second joint.
    - Reward: -1 per step, 0 for the step that ends the episode: when `-cos θ₁ - cos(θ₁ + θ₂) > 1`,
      which is Gymnasium's height of the tip in lengths of a link; horizon 500.
    - Source: Gymnasium 1.x, `classic_control/acrobot.py`: its own equations of motion, integrated
      by RK4 over 0.2 s for many at once.
    - Return per episode (500 tasks): always the first action -500, random -495; -92 for one who
      pumps energy (torque against the first link's velocity). Linear policies tuned task by task
      are no better: a family to learn to swing up in, with little to adapt to.
    """
    return ClassicControlFamily(
        name="acrobot-physics",
        task_space=TaskSpace(parameters=_RANGES, overrides={"ood": _OUTSIDE}),
        rules=_Acrobot(),
        horizon=HORIZON,
        floors={"zero_action": -500.0, "random": -495.0},
        reference=-92.0,
    )


class _Acrobot(ClassicRules):
    """Acrobot-v1; the state is both angles, then both angular velocities."""

    env_id = "Acrobot-v1"
    state_size = 4

    def configure(self, env: Any, parameters: Mapping[str, ParameterValue]) -> None:  # noqa: ANN401
        numbers = {name: float(value) for name, value in parameters.items()}
        for name, value in _links(numbers).items():
            setattr(env, name, value)
        env.AVAIL_TORQUE = [-numbers["torque"], 0.0, numbers["torque"]]
        # `step` looks its equations of motion up on the instance.
        env._dsdt = _derivatives(env, numbers["gravity"])  # noqa: SLF001 - nothing public

    def start(self, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(low=-0.1, high=0.1, size=(4,)).astype(np.float32)

    def observe(self, states: np.ndarray) -> np.ndarray:
        first, second, *spins = states
        seen = [np.cos(first), np.sin(first), np.cos(second), np.sin(second), *spins]
        return np.stack(seen, axis=-1)

    def step(
        self, states: np.ndarray, actions: np.ndarray, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        torque = np.stack([-parameters["torque"], np.zeros(len(actions)), parameters["torque"]])
        start = np.stack([*states, torque[actions, np.arange(len(actions))]])
        numbers = {name: _powered(value) for name, value in _links(parameters).items()}
        links = SimpleNamespace(**numbers, book_or_nips=AcrobotEnv.book_or_nips)
        reached = _integrated(_derivatives(links, parameters["gravity"]), start, AcrobotEnv.dt)
        reached[:2] = _wrapped(reached[:2])
        limits = np.array([[AcrobotEnv.MAX_VEL_1], [AcrobotEnv.MAX_VEL_2]])
        reached[2:] = np.clip(reached[2:], -limits, limits)
        terminated = -np.cos(reached[0]) - np.cos(reached[1] + reached[0]) > 1.0
        return reached, np.where(terminated, 0.0, -1.0), terminated


def _links(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What `AcrobotEnv._dsdt` reads of the links: numbers, or arrays of them.

    The centre of mass is the middle of the link, as in Gymnasium.
    """
    return {
        "LINK_LENGTH_1": parameters["link_length_1"],
        "LINK_LENGTH_2": parameters["link_length_2"],
        "LINK_MASS_1": parameters["link_mass_1"],
        "LINK_MASS_2": parameters["link_mass_2"],
        "LINK_COM_POS_1": 0.5 * parameters["link_length_1"],
        "LINK_COM_POS_2": 0.5 * parameters["link_length_2"],
        "LINK_MOI": parameters["link_moi"],
    }


def _derivatives(links: Any, gravity: Any) -> Callable[[np.ndarray], np.ndarray]:  # noqa: ANN401
    """Gymnasium's own equations of motion under another gravity.

    Accelerations are linear in gravity: at rest and without torque they are what gravity does.
    """
    change = gravity / _GYMNASIUM_GRAVITY - 1.0
    motion = AcrobotEnv._dsdt  # noqa: SLF001 - the one place where these equations are

    def derivatives(state: np.ndarray) -> np.ndarray:
        at_rest = state.copy()
        at_rest[2:] = 0.0
        moved = motion(links, _powered(state))
        fallen = motion(links, _powered(at_rest))
        return np.array(
            [
                moved[0],
                moved[1],
                moved[2] + change * fallen[2],
                moved[3] + change * fallen[3],
                np.zeros_like(moved[0]),
            ]
        )

    return derivatives


class _Powers(np.ndarray):
    """Its `**` is the C library's `pow`, as that of numbers; that of arrays multiplies.

    The two differ in the last digit at times, and an acrobot is chaotic.
    """

    def __pow__(self, exponent: Any, mod: None = None, /) -> Any:  # noqa: ANN401 - as numpy's
        return np.float_power(self, exponent)


def _powered(values: np.ndarray) -> np.ndarray:
    return values.view(_Powers)


def _integrated(
    derivatives: Callable[[np.ndarray], np.ndarray], start: np.ndarray, duration: float
) -> np.ndarray:
    """One step of Gymnasium's `rk4` for many states at once, `[5, n]` to `[4, n]`."""
    half = duration / 2.0
    k1 = derivatives(start)
    k2 = derivatives(start + half * k1)
    k3 = derivatives(start + half * k2)
    k4 = derivatives(start + duration * k3)
    return (start + duration / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4))[:4]


def _wrapped(angles: np.ndarray) -> np.ndarray:
    """Angles in [-π, π], by whole turns one after the other as Gymnasium's `wrap`."""
    while (angles > math.pi).any():
        angles = np.where(angles > math.pi, angles - 2 * math.pi, angles)
    while (angles < -math.pi).any():
        angles = np.where(angles < -math.pi, angles + 2 * math.pi, angles)
    return angles

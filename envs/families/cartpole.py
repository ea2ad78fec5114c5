"""`cartpole-physics`: balance a pole of unknown gravity, masses, length and motor."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from metarl_gan.envs.distributions import Uniform, Union
from metarl_gan.envs.families.classic_control import ClassicControlFamily, ClassicRules
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import ParameterValue
from metarl_gan.envs.task_space import TaskSpace

HORIZON = 500
TIME_STEP = 0.02
MAX_POSITION = 2.4
MAX_ANGLE = 12 * 2 * math.pi / 360

_RANGES = {
    "gravity": Uniform(6.0, 14.0, unit="m/s^2"),
    "masscart": Uniform(0.5, 2.0, unit="kg"),
    "masspole": Uniform(0.05, 0.5, unit="kg"),
    "length": Uniform(0.25, 1.0, unit="m"),
    "force_mag": Union([Uniform(-15.0, -5.0, unit="N"), Uniform(5.0, 15.0, unit="N")]),
}
_OUTSIDE = {
    "gravity": Uniform(3.0, 20.0, unit="m/s^2"),
    "masscart": Uniform(0.25, 3.0, unit="kg"),
    "masspole": Uniform(0.02, 0.8, unit="kg"),
    "length": Uniform(0.15, 1.5, unit="m"),
    "force_mag": Union([Uniform(-20.0, -3.0, unit="N"), Uniform(3.0, 20.0, unit="N")]),
}


def cartpole_physics() -> TaskFamily:
    """Gymnasium's CartPole-v1 with other physics in every task, and its motor at times reversed.

    - Task: `gravity` in [6, 14] m/s², `masscart` in [0.5, 2] kg, `masspole` in [0.05, 0.5] kg,
      `length` (half of the pole's) in [0.25, 1] m, `force_mag` in [-15, -5] or [5, 15] N, each
      uniform; where it is negative, the motor pulls where another one pushes. Out of
      distribution: [3, 20], [0.25, 3], [0.02, 0.8], [0.15, 1.5] and ±[3, 20], outside of that box.
    - Observation (4): position (m) and velocity of the cart, angle (rad) and angular velocity of
      the pole. Action: 0 pushes with `-force_mag`, 1 with `force_mag`.
    - Reward: 1 per step. Terminates when the cart is more than 2.4 m from the middle or the pole
      more than 12° from upright; horizon 500.
    - Source: Gymnasium 1.x, `classic_control/cartpole.py`; many are stepped as arrays.
    - Return per episode (500 tasks): always the first action 12, random 28; 500 for one who knows
      which way the motor turns: `0.1 x + 0.3 x' + 3 θ + θ' > 0` then balances every pole of these
      ranges. Hence the reversed motors: without them one policy does for all tasks, and nothing
      is left to adapt to. With them it is worth 500 in one half of the tasks, 11 in the other.
    """
    return ClassicControlFamily(
        name="cartpole-physics",
        task_space=TaskSpace(parameters=_RANGES, overrides={"ood": _OUTSIDE}),
        rules=_CartPole(),
        horizon=HORIZON,
        floors={"zero_action": 12.0, "random": 28.0},
        reference=500.0,
    )


class _CartPole(ClassicRules):
    """CartPole-v1; the state is position, velocity, angle and angular velocity."""

    env_id = "CartPole-v1"
    state_size = 4

    def configure(self, env: Any, parameters: Mapping[str, ParameterValue]) -> None:  # noqa: ANN401
        for name, value in parameters.items():
            setattr(env, name, value)
        # Gymnasium derives these two when the environment is built.
        env.total_mass = env.masspole + env.masscart
        env.polemass_length = env.masspole * env.length

    def start(self, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(low=-0.05, high=0.05, size=(4,))

    def observe(self, states: np.ndarray) -> np.ndarray:
        return states.T

    def step(
        self, states: np.ndarray, actions: np.ndarray, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        position, velocity, angle, spin = states
        mass, length = parameters["masspole"], parameters["length"]
        total, moment = mass + parameters["masscart"], mass * length
        force = np.where(actions == 1, parameters["force_mag"], -parameters["force_mag"])
        cosine, sine = np.cos(angle), np.sin(angle)
        push = (force + moment * np.square(spin) * sine) / total
        turn = (parameters["gravity"] * sine - cosine * push) / (
            length * (4.0 / 3.0 - mass * np.square(cosine) / total)
        )
        acceleration = push - moment * turn * cosine / total
        reached = np.stack(
            [
                position + TIME_STEP * velocity,
                velocity + TIME_STEP * acceleration,
                angle + TIME_STEP * spin,
                spin + TIME_STEP * turn,
            ]
        )
        terminated = (np.abs(reached[0]) > MAX_POSITION) | (np.abs(reached[2]) > MAX_ANGLE)
        return reached, np.ones(len(terminated)), terminated

"""`pendulum-physics`: swing up a pendulum of unknown gravity, mass, length and motor."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metarl_gan.envs.distributions import Uniform
from metarl_gan.envs.families.classic_control import ClassicControlFamily, ClassicRules
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import ParameterValue
from metarl_gan.envs.task_space import TaskSpace

HORIZON = 200
TIME_STEP = 0.05
MAX_SPEED = 8.0
MAX_TORQUE = 2.0  # the action space; a task's own motor may be weaker

_RANGES = {
    "g": Uniform(8.0, 12.0, unit="m/s^2"),
    "m": Uniform(0.7, 1.3, unit="kg"),
    "l": Uniform(0.7, 1.3, unit="m"),
    "max_torque": Uniform(1.4, MAX_TORQUE, unit="N m"),
}
_OUTSIDE = {
    "g": Uniform(6.0, 14.0, unit="m/s^2"),
    "m": Uniform(0.5, 1.5, unit="kg"),
    "l": Uniform(0.5, 1.5, unit="m"),
    "max_torque": Uniform(1.0, MAX_TORQUE, unit="N m"),
}


def pendulum_physics() -> TaskFamily:
    """Gymnasium's Pendulum-v1 with other physics in every task; the reward is the same.

    - Task: gravity `g` in [8, 12] m/s², mass `m` in [0.7, 1.3] kg, length `l` in [0.7, 1.3] m,
      `max_torque` in [1.4, 2] N m, each uniform. Out of distribution: [6, 14], [0.5, 1.5],
      [0.5, 1.5] and [1, 2], outside of that box.
    - Observation (3): cos θ, sin θ, angular velocity (rad/s). Action (1): torque in [-2, 2] N m,
      clipped to the task's `max_torque`.
    - Reward: `-(θ² + 0.1 θ'² + 0.001 u²)` of the state left, with θ in [-π, π). Never
      terminates; horizon 200.
    - Source: Gymnasium 1.x, `classic_control/pendulum.py`; many are stepped as arrays.
    - Return per episode (500 tasks): zero action -1246, random -1249; -165 for one who knows the
      physics, pumps energy and holds the top by linear feedback.
    """
    return ClassicControlFamily(
        name="pendulum-physics",
        task_space=TaskSpace(parameters=_RANGES, overrides={"ood": _OUTSIDE}),
        rules=_Pendulum(),
        horizon=HORIZON,
        floors={"zero_action": -1246.0, "random": -1249.0},
        reference=-165.0,
    )


class _Pendulum(ClassicRules):
    """Pendulum-v1; the state is angle and angular velocity."""

    env_id = "Pendulum-v1"
    state_size = 2

    def configure(self, env: Any, parameters: Mapping[str, ParameterValue]) -> None:  # noqa: ANN401
        for name, value in parameters.items():
            setattr(env, name, value)

    def start(self, rng: np.random.Generator) -> np.ndarray:
        high = np.array([np.pi, 1.0])
        return rng.uniform(low=-high, high=high)

    def observe(self, states: np.ndarray) -> np.ndarray:
        angle, speed = states
        return np.stack([np.cos(angle), np.sin(angle), speed], axis=-1)

    def step(
        self, states: np.ndarray, actions: np.ndarray, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        angle, speed = states
        limit = parameters["max_torque"].astype(np.float32)
        torque = np.clip(actions[:, 0], -limit, limit)
        folded = (angle + np.pi) % (2 * np.pi) - np.pi
        costs = folded**2 + 0.1 * speed**2 + np.float32(0.001) * torque**2
        # Gymnasium multiplies the gain with a float32 torque: the same rounding here.
        gain = 3.0 / (parameters["m"] * np.float_power(parameters["l"], 2))
        fall = 3 * parameters["g"] / (2 * parameters["l"]) * np.sin(angle)
        speed = speed + (fall + gain.astype(np.float32) * torque) * TIME_STEP
        speed = np.clip(speed, -MAX_SPEED, MAX_SPEED)
        reached = np.stack([angle + speed * TIME_STEP, speed])
        return reached, -costs, np.zeros(len(costs), bool)

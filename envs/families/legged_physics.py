"""`walker2d-physics` and `hopper-physics`: Gymnasium's walkers in bodies of other physics."""

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metarl_gan.envs.distributions import Distribution, LogUniform
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.mujoco.api import MjModel
from metarl_gan.envs.mujoco.family import MujocoFamily
from metarl_gan.envs.mujoco.rules import MujocoRules, MujocoState
from metarl_gan.envs.task import ParameterValue
from metarl_gan.envs.task_space import TaskSpace

HORIZON = 200
SURVIVAL, CONTROL_COST = 1.0, 1e-3
MAX_OBSERVED_VELOCITY = 10.0
TRAIN_EXPONENT, OOD_EXPONENT = 3, 4
_BASE = {"mass": 1.5, "inertia": 1.5, "friction": 1.5, "damping": 1.3}
_UNIT = "of Gymnasium's"


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a task scales, by MuJoCo's names: a parameter `mass_foot` for each body, and so on.

    Geoms that can touch the ground before the episode ends have a friction of their own; that of
    a contact is the larger one of its two geoms'.
    """

    bodies: Sequence[str]
    joints: Sequence[str]
    geoms: Sequence[str]

    def ranges(self, exponent: int) -> dict[str, Distribution]:
        """One multiplier per part: base^U(-exponent, exponent)."""
        names = {
            "mass": self.bodies,
            "inertia": self.bodies,
            "damping": self.joints,
            "friction": self.geoms,
        }
        return {
            f"{kind}_{part}": LogUniform(_BASE[kind] ** -exponent, _BASE[kind] ** exponent, _UNIT)
            for kind, parts in names.items()
            for part in parts
        }


class _Legged(MujocoRules, ABC):
    """Start, observation and reward of Walker2d-v5 and Hopper-v5, and the physics of a task."""

    def __init__(self, env_id: str) -> None:
        self.env_id = env_id

    def start_noise(
        self, rng: np.random.Generator, nq: int, nv: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return rng.uniform(-5e-3, 5e-3, nq), rng.uniform(-5e-3, 5e-3, nv)

    def observe(self, state: MujocoState) -> np.ndarray:
        velocities = np.clip(state["qvel"], -MAX_OBSERVED_VELOCITY, MAX_OBSERVED_VELOCITY)
        return np.concatenate([state["qpos"][:, 1:], velocities], axis=-1)

    def reward(
        self,
        before: MujocoState,
        after: MujocoState,
        actions: np.ndarray,
        parameters: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        velocity = (after["qpos"][:, 0] - before["qpos"][:, 0]) / after.time_step
        return velocity + SURVIVAL - CONTROL_COST * np.square(actions).sum(axis=-1)

    def configure(self, model: MjModel, parameters: Mapping[str, ParameterValue]) -> bool:
        for name, value in parameters.items():
            kind, _, part = name.partition("_")
            scale = float(value)
            if kind == "mass":
                model.body_mass[model.body(part).id] *= scale
            elif kind == "inertia":
                # All three: motion in the plane knows only the one about its normal.
                model.body_inertia[model.body(part).id] *= scale
            elif kind == "damping":
                model.dof_damping[model.joint(f"{part}_joint").dofadr] *= scale
            else:
                # Of sliding: these contacts neither twist nor roll (condim 3).
                geom = part if part == "floor" else f"{part}_geom"
                model.geom_friction[model.geom(geom).id, 0] *= scale
        return True


class _Walker2d(_Legged):
    def terminated(self, after: MujocoState) -> np.ndarray:
        height, angle = after["qpos"][:, 1], after["qpos"][:, 2]
        return ~((height > 0.8) & (height < 2.0) & (angle > -1.0) & (angle < 1.0))


class _Hopper(_Legged):
    def terminated(self, after: MujocoState) -> np.ndarray:
        height, angle = after["qpos"][:, 1], after["qpos"][:, 2]
        rest = np.concatenate([after["qpos"][:, 2:], after["qvel"]], axis=-1)
        bounded = (np.abs(rest) < 100.0).all(axis=-1)
        return ~(bounded & (height > 0.7) & (angle > -0.2) & (angle < 0.2))


def walker2d_physics(*, threads: int | None = None) -> TaskFamily:
    """The planar walker runs in a body whose masses, inertias, joints and soles it does not know.

    - Task (25 multipliers of Gymnasium's values): `mass_*` and `inertia_*` of seven bodies,
      `friction_*` of floor, feet and legs, 1.5^U(-3, 3) each; `damping_*` of six joints,
      1.3^U(-3, 3) each. ood: exponents up to ±4.
    - Observation (17): positions without the torso's x (8: m, rad), velocities (9: m/s, rad/s,
      clipped to ±10). Action (6): joint torques, scaled to [-1, 1].
    - Reward: `v_x + 1 - 1e-3 ‖a‖²`. Terminates when the torso's height leaves (0.8, 2) m or its
      angle (-1, 1) rad; horizon 200.
    - Source: rand_param_envs as PEARL uses them (Rakelly et al. 2019, arXiv:1903.08254), which
      also scale what has no effect: other geoms, and what motion in the plane does not know.
    - Return per episode: zero action 84, random 3 (500 tasks); PEARL reaches 730 with 1.1 M real
      steps, a walker that stands without walking 200.
    """
    sides = ("", "_left")
    legs = [f"{part}{side}" for side in sides for part in ("thigh", "leg", "foot")]
    parts = _Parts(
        bodies=["torso", *legs],
        joints=legs,
        geoms=["floor", *(f"{part}{side}" for side in sides for part in ("leg", "foot"))],
    )
    return _family(
        "walker2d-physics",
        _Walker2d("Walker2d-v5"),
        parts,
        {"zero_action": 84.0, "random": 3.0, "reference": 730.0},
        threads,
    )


def hopper_physics(*, threads: int | None = None) -> TaskFamily:
    """The hopper runs in a body whose masses, inertias, joints and sole it does not know.

    - Task (13 multipliers of Gymnasium's values): `mass_*` and `inertia_*` of four bodies,
      `friction_*` of floor and foot, 1.5^U(-3, 3) each; `damping_*` of three joints,
      1.3^U(-3, 3) each. ood: exponents up to ±4.
    - Observation (11): positions without the torso's x (5: m, rad), velocities (6: m/s, rad/s,
      clipped to ±10). Action (3): joint torques, scaled to [-1, 1].
    - Reward: `v_x + 1 - 1e-3 ‖a‖²`. Terminates when the torso's height falls to 0.7 m, its angle
      leaves (-0.2, 0.2) rad or another number (-100, 100); horizon 200.
    - Source: rand_param_envs, as `walker2d_physics`. The leg reaches the ground only where the
      foot sinks deep into it: its friction stays as it is.
    - Return per episode: zero action 144, random 20 (500 tasks); no reliable reference is
      published.
    """
    legs = ["thigh", "leg", "foot"]
    parts = _Parts(bodies=["torso", *legs], joints=legs, geoms=["floor", "foot"])
    floors = {"zero_action": 144.0, "random": 20.0}
    return _family("hopper-physics", _Hopper("Hopper-v5"), parts, floors, threads)


def _family(
    name: str,
    rules: MujocoRules,
    parts: _Parts,
    floors: Mapping[str, float],
    threads: int | None,
) -> TaskFamily:
    return MujocoFamily(
        name=name,
        task_space=TaskSpace(
            parameters=parts.ranges(TRAIN_EXPONENT),
            overrides={"ood": parts.ranges(OOD_EXPONENT)},
        ),
        rules=rules,
        horizon=HORIZON,
        floors=floors,
        threads=threads,
    )

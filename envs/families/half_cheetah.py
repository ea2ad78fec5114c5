"""`half-cheetah-velocity` and `half-cheetah-direction` on Gymnasium's HalfCheetah-v5 physics."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from metarl_gan.envs.distributions import Choice, Uniform, Union
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.mujoco.family import MujocoFamily
from metarl_gan.envs.mujoco.rules import MujocoRules, MujocoState
from metarl_gan.envs.task_space import TaskSpace

HORIZON = 200
CONTROL_COST = 0.05


class _HalfCheetah(MujocoRules):
    """HalfCheetah-v5; the reward is left to the family."""

    @abstractmethod
    def running_reward(
        self, velocity: np.ndarray, parameters: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """What the torso's velocity along x, in m/s, is worth to each environment's task."""

    env_id = "HalfCheetah-v5"

    def start_noise(
        self, rng: np.random.Generator, nq: int, nv: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return rng.uniform(-0.1, 0.1, nq), 0.1 * rng.standard_normal(nv)

    def observe(self, state: MujocoState) -> np.ndarray:
        return np.concatenate([state["qpos"][:, 1:], state["qvel"]], axis=-1)

    def reward(
        self,
        before: MujocoState,
        after: MujocoState,
        actions: np.ndarray,
        parameters: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        velocity = (after["qpos"][:, 0] - before["qpos"][:, 0]) / after.time_step
        effort = np.square(actions).sum(axis=-1)
        return self.running_reward(velocity, parameters) - CONTROL_COST * effort

    def terminated(self, after: MujocoState) -> np.ndarray:
        return np.zeros(len(after["qpos"]), bool)


class _RunAtVelocity(_HalfCheetah):
    def running_reward(
        self, velocity: np.ndarray, parameters: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        return -np.abs(velocity - parameters["velocity"])


class _RunInDirection(_HalfCheetah):
    def running_reward(
        self, velocity: np.ndarray, parameters: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        return parameters["direction"] * velocity


def half_cheetah_velocity(*, threads: int | None = None) -> TaskFamily:
    """The planar cheetah runs at a velocity that only the reward tells.

    - Task: `velocity` uniform on [0, 3] m/s; ood on (3, 4] m/s.
    - Observation (17): positions without the torso's x (8: m, rad), velocities (9: m/s, rad/s).
      Action (6): motor torques, scaled to [-1, 1].
    - Reward: `-|v_x - velocity| - 0.05 ‖a‖²`, with `v_x` the finite difference of the torso's x
      over the step (0.05 s). Never terminates; horizon 200.
    - Source: Finn et al. 2017, arXiv:1703.03400, section 5.3, in the form of PEARL (Rakelly et
      al. 2019, arXiv:1903.08254) without x in the observation.
    - Return per episode: zero action -300, random -349 (500 tasks); PEARL reaches -44 with
      0.78 M real steps.
    """
    speeds, faster = Uniform(0.0, 3.0, unit="m/s"), Uniform(3.0, 4.0, unit="m/s")
    return _velocity_family(
        "half-cheetah-velocity",
        TaskSpace(parameters={"velocity": speeds}, overrides={"ood": {"velocity": faster}}),
        {"zero_action": -300.0, "random": -349.0, "reference": -44.0},
        threads,
    )


def half_cheetah_velocity_interpolation(*, threads: int | None = None) -> TaskFamily:
    """`half_cheetah_velocity` trained slow and fast, and tested between.

    - Task: `velocity` in [0, 0.5] or [3, 3.5] m/s for train and test; ood exactly 0.75, 1.25,
      1.75, 2.25 or 2.75 m/s.
    - The rest as in `half_cheetah_velocity`.
    - Source: LDM (Lee and Chung 2021, arXiv:2105.13524).
    - Return per episode: zero action -372, random -432 (500 tasks).
    """
    slow, fast = Uniform(0.0, 0.5, unit="m/s"), Uniform(3.0, 3.5, unit="m/s")
    between = Choice([0.75, 1.25, 1.75, 2.25, 2.75], unit="m/s")
    return _velocity_family(
        "half-cheetah-velocity-interpolation",
        TaskSpace(
            parameters={"velocity": Union([slow, fast])}, overrides={"ood": {"velocity": between}}
        ),
        {"zero_action": -372.0, "random": -432.0},
        threads,
    )


def half_cheetah_velocity_extrapolation(*, threads: int | None = None) -> TaskFamily:
    """`half_cheetah_velocity` trained slow and tested fast.

    - Task: `velocity` uniform on [0, 1.5] m/s for train and test, ood on [2.5, 3] m/s.
    - The rest as in `half_cheetah_velocity`.
    - Source: MIER (Mendonca et al. 2020, arXiv:2006.07178).
    - Return per episode: zero action -158, random -215 (500 tasks).
    """
    slow, fast = Uniform(0.0, 1.5, unit="m/s"), Uniform(2.5, 3.0, unit="m/s")
    return _velocity_family(
        "half-cheetah-velocity-extrapolation",
        TaskSpace(parameters={"velocity": slow}, overrides={"ood": {"velocity": fast}}),
        {"zero_action": -158.0, "random": -215.0},
        threads,
    )


def half_cheetah_direction(*, threads: int | None = None) -> TaskFamily:
    """The planar cheetah runs forwards or backwards.

    - Task: `direction`, +1 or -1: two tasks in all, hence a train split only. What two tasks
      can show is adaptation, not generalisation to unseen tasks.
    - Observation and action as in `half_cheetah_velocity`.
    - Reward: `direction * v_x - 0.05 ‖a‖²`. Never terminates; horizon 200.
    - Source: Finn et al. 2017, arXiv:1703.03400, section 5.3.
    - Return per episode: zero action 0, random -20; PEARL reaches 1664 with 1.4 M real steps.
    """
    return MujocoFamily(
        name="half-cheetah-direction",
        task_space=TaskSpace(parameters={"direction": Choice([-1, 1])}, splits=("train",)),
        rules=_RunInDirection(),
        horizon=HORIZON,
        floors={"zero_action": 0.0, "random": -20.0, "reference": 1664.0},
        threads=threads,
    )


def _velocity_family(
    name: str, task_space: TaskSpace, floors: Mapping[str, float], threads: int | None
) -> TaskFamily:
    return MujocoFamily(
        name=name,
        task_space=task_space,
        rules=_RunAtVelocity(),
        horizon=HORIZON,
        floors=floors,
        threads=threads,
    )

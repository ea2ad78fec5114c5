"""`ant-direction`, `ant-forward-backward` and `ant-goal` on Gymnasium's Ant-v5 physics."""

import math
from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from metarl_gan.envs.distributions import Choice, DiskRadius, Uniform, Union
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.mujoco.family import MujocoFamily
from metarl_gan.envs.mujoco.rules import MujocoRules, MujocoState
from metarl_gan.envs.task_space import TaskSpace

HORIZON = 200
TORSO = 1
CONTACT_COST = 5e-4
HEALTHY_HEIGHT = (0.2, 1.0)
_DEGREE = math.pi / 180


class _Ant(MujocoRules):
    """Start and contact forces of Ant-v5; the rest is left to the families."""

    env_id = "Ant-v5"
    fields = ("xpos", "cfrc_ext")

    def start_noise(
        self, rng: np.random.Generator, nq: int, nv: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return rng.uniform(-0.1, 0.1, nq), 0.1 * rng.standard_normal(nv)

    @abstractmethod
    def task_reward(
        self, before: MujocoState, after: MujocoState, parameters: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """What the way the torso went is worth to each environment's task."""

    @property
    @abstractmethod
    def control_cost(self) -> float:
        """Cost of a squared unit of action."""

    def reward(
        self,
        before: MujocoState,
        after: MujocoState,
        actions: np.ndarray,
        parameters: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        effort = np.square(actions).sum(axis=-1)
        impact = np.square(np.clip(after["cfrc_ext"], -1.0, 1.0)).sum(axis=(-2, -1))
        gain = self.task_reward(before, after, parameters)
        return gain - self.control_cost * effort - CONTACT_COST * impact


class _WalkInDirection(_Ant):
    """Upright as in Ant-v5, rewarded for the velocity along a heading."""

    env_options = {"include_cfrc_ext_in_observation": False}  # noqa: RUF012 - never changed
    control_cost = 0.5

    def observe(self, state: MujocoState) -> np.ndarray:
        return np.concatenate([state["qpos"][:, 2:], state["qvel"]], axis=-1)

    def task_reward(
        self, before: MujocoState, after: MujocoState, parameters: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        way = after["xpos"][:, TORSO, :2] - before["xpos"][:, TORSO, :2]
        heading = parameters["heading"]
        ahead = way[:, 0] * np.cos(heading) + way[:, 1] * np.sin(heading)
        return ahead / after.time_step + 1.0

    def terminated(self, after: MujocoState) -> np.ndarray:
        low, high = HEALTHY_HEIGHT
        height = after["qpos"][:, 2]
        finite = np.isfinite(after["qpos"]).all(axis=-1) & np.isfinite(after["qvel"]).all(axis=-1)
        return ~(finite & (low <= height) & (height <= high))


class _WalkToGoal(_Ant):
    """Rewarded for being near a goal; falling over ends nothing."""

    env_options = {  # noqa: RUF012 - never changed
        "include_cfrc_ext_in_observation": False,
        "exclude_current_positions_from_observation": False,
        "terminate_when_unhealthy": False,
    }
    control_cost = 0.1

    def observe(self, state: MujocoState) -> np.ndarray:
        return np.concatenate([state["qpos"], state["qvel"]], axis=-1)

    def task_reward(
        self, before: MujocoState, after: MujocoState, parameters: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        angle, radius = parameters["angle"], parameters["radius"]
        goal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
        return -np.abs(after["xpos"][:, TORSO, :2] - goal).sum(axis=-1)

    def terminated(self, after: MujocoState) -> np.ndarray:
        return np.zeros(len(after["qpos"]), bool)


def ant_direction(*, threads: int | None = None) -> TaskFamily:
    """The ant walks along a heading that only the reward tells.

    - Task: `heading` uniform on [0, 2π] rad. The circle cannot be extended, hence no ood split:
      see `ant_direction_interpolation`.
    - Observation (27): positions without the torso's x and y (13: m, quaternion, rad),
      velocities (14: m/s, rad/s). Action (8): joint torques, scaled to [-1, 1].
    - Reward: `v·heading - 0.5 ‖a‖² - 5e-4 ‖clip(F, ±1)‖² + 1`, with `v` the finite difference of
      the torso's position over the step (0.05 s) and `F` the contact forces (`cfrc_ext`).
      Terminates when the torso's height leaves [0.2, 1.0] m; horizon 200.
    - Source: PEARL (Rakelly et al. 2019, arXiv:1903.08254), ProMP (Rothfuss et al. 2019,
      arXiv:1810.06784). Their observations differ in what they add to these 27.
    - Return per episode: zero action 199, random -33 (500 tasks); no reliable reference is
      published.
    """
    return MujocoFamily(
        name="ant-direction",
        task_space=TaskSpace(parameters={"heading": Uniform(0.0, 2 * math.pi, unit="rad")}),
        rules=_WalkInDirection(),
        horizon=HORIZON,
        floors={"zero_action": 199.0, "random": -33.0},
        threads=threads,
    )


def ant_direction_interpolation(*, threads: int | None = None) -> TaskFamily:
    """`ant_direction` trained on four headings and tested between them.

    - Task: train `heading` 0, 90, 180 or 270 degrees (in rad); ood 45, 135, 225 or 315 degrees.
      There is no test split: four tasks are too few to keep some back.
    - The rest as in `ant_direction`.
    - Source: LDM (Lee and Chung 2021, arXiv:2105.13524).
    - Return per episode: zero action 199, random -32 (500 episodes).
    """
    train, between = ([(first + turn) * _DEGREE for turn in _QUARTERS] for first in (0, 45))
    return MujocoFamily(
        name="ant-direction-interpolation",
        task_space=TaskSpace(
            parameters={"heading": Choice(train, unit="rad")},
            overrides={"ood": {"heading": Choice(between, unit="rad")}},
            splits=("train", "ood"),
        ),
        rules=_WalkInDirection(),
        horizon=HORIZON,
        floors={"zero_action": 199.0, "random": -32.0},
        threads=threads,
    )


def ant_forward_backward(*, threads: int | None = None) -> TaskFamily:
    """The ant walks forwards or backwards.

    - Task: `heading`, exactly 0 or π rad: two tasks in all, hence a train split only. What two
      tasks can show is adaptation, not generalisation to unseen tasks.
    - The rest as in `ant_direction`.
    - Return per episode: zero action 198, random -33; PEARL reaches 1047 with 2.0 M real steps.
    """
    return MujocoFamily(
        name="ant-forward-backward",
        task_space=TaskSpace(
            parameters={"heading": Choice([0.0, math.pi], unit="rad")}, splits=("train",)
        ),
        rules=_WalkInDirection(),
        horizon=HORIZON,
        floors={"zero_action": 198.0, "random": -33.0, "reference": 1047.0},
        threads=threads,
    )


def ant_goal(*, threads: int | None = None) -> TaskFamily:
    """The ant walks to a goal that only the reward tells.

    - Task: `angle` uniform on [0, 2π] rad, `radius` in [0, 3] m, so that goals are uniform on the
      disk; ood goals lie up to 1 m outside of it.
    - Observation (29): positions (15: m, quaternion, rad) with the torso's x and y, since the
      reward depends on them; velocities (14: m/s, rad/s). Action (8): joint torques, scaled to
      [-1, 1].
    - Reward: `-‖xy - goal‖₁ - 0.1 ‖a‖² - 5e-4 ‖clip(F, ±1)‖²`. Never terminates; horizon 200.
    - Source: PEARL (Rakelly et al. 2019, arXiv:1903.08254), ProMP (Rothfuss et al. 2019,
      arXiv:1810.06784).
    - Return per episode: zero action -508, random -732 (500 tasks); no reliable reference is
      published.
    """
    turn = Uniform(0.0, 2 * math.pi, unit="rad")
    return MujocoFamily(
        name="ant-goal",
        task_space=TaskSpace(
            parameters={"angle": turn, "radius": DiskRadius(0.0, 3.0, unit="m")},
            overrides={"ood": {"radius": DiskRadius(3.0, 4.0, unit="m")}},
        ),
        rules=_WalkToGoal(),
        horizon=HORIZON,
        floors={"zero_action": -508.0, "random": -732.0},
        threads=threads,
    )


def ant_goal_interpolation(*, threads: int | None = None) -> TaskFamily:
    """`ant_goal` trained near and far, and tested between.

    - Task: `radius` in [0, 1] or [2.5, 3] m for train and test, exactly 1.75 m for ood.
    - The rest as in `ant_goal`.
    - Source: LDM (Lee and Chung 2021, arXiv:2105.13524).
    - Return per episode: zero action -580, random -780 (500 tasks).
    """
    turn = Uniform(0.0, 2 * math.pi, unit="rad")
    near, far = DiskRadius(0.0, 1.0, unit="m"), DiskRadius(2.5, 3.0, unit="m")
    return MujocoFamily(
        name="ant-goal-interpolation",
        task_space=TaskSpace(
            parameters={"angle": turn, "radius": Union([near, far])},
            overrides={"ood": {"radius": Choice([1.75], unit="m")}},
        ),
        rules=_WalkToGoal(),
        horizon=HORIZON,
        floors={"zero_action": -580.0, "random": -780.0},
        threads=threads,
    )


_QUARTERS = (0, 90, 180, 270)

"""`humanoid-direction` on Gymnasium's Humanoid-v5 physics."""

import math
from collections.abc import Mapping

import numpy as np

from metarl_gan.envs.distributions import Uniform
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.mujoco.family import MujocoFamily
from metarl_gan.envs.mujoco.rules import MujocoRules, MujocoState
from metarl_gan.envs.task_space import TaskSpace

HORIZON = 200
FORWARD_WEIGHT = 1.25
CONTROL_COST = 0.1
CONTACT_COST, MAX_CONTACT_COST = 5e-7, 10.0
SURVIVAL = 5.0
HEALTHY_HEIGHT = (1.0, 2.0)


class _WalkInDirection(MujocoRules):
    """Humanoid-v5, rewarded for the centre of mass's velocity along a heading."""

    env_id = "Humanoid-v5"
    env_options = {  # noqa: RUF012 - never changed
        f"include_{name}_in_observation": False
        for name in ("cinert", "cvel", "qfrc_actuator", "cfrc_ext")
    }
    fields = ("subtree_com", "cfrc_ext")

    def start_noise(
        self, rng: np.random.Generator, nq: int, nv: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return rng.uniform(-0.01, 0.01, nq), rng.uniform(-0.01, 0.01, nv)

    def observe(self, state: MujocoState) -> np.ndarray:
        return np.concatenate([state["qpos"][:, 2:], state["qvel"]], axis=-1)

    def reward(
        self,
        before: MujocoState,
        after: MujocoState,
        actions: np.ndarray,
        parameters: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        way = after["subtree_com"][:, 0, :2] - before["subtree_com"][:, 0, :2]
        heading = parameters["heading"]
        ahead = way[:, 0] * np.cos(heading) + way[:, 1] * np.sin(heading)
        effort = np.square(actions).sum(axis=-1)
        impact = CONTACT_COST * np.square(after["cfrc_ext"]).sum(axis=(-2, -1))
        gain = FORWARD_WEIGHT * ahead / after.time_step + SURVIVAL
        return gain - CONTROL_COST * effort - np.minimum(impact, MAX_CONTACT_COST)

    def terminated(self, after: MujocoState) -> np.ndarray:
        low, high = HEALTHY_HEIGHT
        height = after["qpos"][:, 2]
        return ~((low < height) & (height < high))


def humanoid_direction(*, threads: int | None = None) -> TaskFamily:
    """The humanoid walks along a heading that only the reward tells.

    - Task: `heading` uniform on [0, 2π] rad. The circle cannot be extended, hence no ood split.
    - Observation (45): positions without the root's x and y (22: m, quaternion, rad), velocities
      (23: m/s, rad/s): the whole state; inertias and forces, which follow from it, are left out.
      Action (17): joint torques, scaled to [-0.4, 0.4].
    - Reward: `1.25 v·heading - 0.1 ‖a‖² - min(5e-7 ‖F‖², 10) + 5`, with `v` the finite difference
      of the centre of mass over the step (0.015 s; per physics step of 0.003 s the weight is the
      literature's 0.25) and `F` the contact forces (`cfrc_ext`). Terminates when the root's
      height leaves (1, 2) m; horizon 200.
    - Source: PEARL (Rakelly et al. 2019, arXiv:1903.08254).
    - Return per episode: zero action 197, random 117 (500 tasks): it falls after 40 and 24
      steps; no reliable reference is published.
    """
    return MujocoFamily(
        name="humanoid-direction",
        task_space=TaskSpace(parameters={"heading": Uniform(0.0, 2 * math.pi, unit="rad")}),
        rules=_WalkInDirection(),
        horizon=HORIZON,
        floors={"zero_action": 197.0, "random": 117.0},
        threads=threads,
    )

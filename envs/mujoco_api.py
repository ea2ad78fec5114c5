"""The names of MuJoCo that are used here, the same in versions 3.3 to 4.

They live in compiled modules that type checkers cannot see into: one place to say so.
"""

from mujoco import (  # pyrefly: ignore[missing-module-attribute]
    MjData,
    MjModel,
    mj_setConst,
    mj_stateSize,
    mjtState,
)
from mujoco.rollout import Rollout

__all__ = ["MjData", "MjModel", "Rollout", "mj_setConst", "mj_stateSize", "mjtState"]

"""The names of MuJoCo that are used here, the same in versions 3.3 to 4.

They live in compiled modules that type checkers cannot see into: one place to say so.
"""

from mujoco import (  # pyrefly: ignore[missing-module-attribute]
    MjData,
    MjModel,
    mj_forward,
    mj_rnePostConstraint,
    mj_setConst,
    mj_step,
)

__all__ = ["MjData", "MjModel", "mj_forward", "mj_rnePostConstraint", "mj_setConst", "mj_step"]

"""The families that come with the package, registered as a user registers one."""

from metarl_gan.envs.registry import register_family

register_family("point-goal", "metarl_gan.envs.families.point_goal:PointGoal")
register_family("point-sparse", "metarl_gan.envs.families.point_sparse:PointSparse")
register_family("point-slip", "metarl_gan.envs.families.point_slip:PointSlip")
register_family("pendulum-physics", "metarl_gan.envs.families.pendulum:pendulum_physics")
register_family("cartpole-physics", "metarl_gan.envs.families.cartpole:cartpole_physics")
register_family("acrobot-physics", "metarl_gan.envs.families.acrobot:acrobot_physics")
register_family(
    "half-cheetah-velocity", "metarl_gan.envs.families.half_cheetah:half_cheetah_velocity"
)
register_family(
    "half-cheetah-direction", "metarl_gan.envs.families.half_cheetah:half_cheetah_direction"
)
register_family("ant-direction", "metarl_gan.envs.families.ant:ant_direction")
register_family(
    "ant-direction-interpolation", "metarl_gan.envs.families.ant:ant_direction_interpolation"
)
register_family("ant-forward-backward", "metarl_gan.envs.families.ant:ant_forward_backward")
register_family("ant-goal", "metarl_gan.envs.families.ant:ant_goal")
register_family("ant-goal-interpolation", "metarl_gan.envs.families.ant:ant_goal_interpolation")
register_family("humanoid-direction", "metarl_gan.envs.families.humanoid:humanoid_direction")
register_family("walker2d-physics", "metarl_gan.envs.families.legged_physics:walker2d_physics")
register_family("hopper-physics", "metarl_gan.envs.families.legged_physics:hopper_physics")
register_family(
    "half-cheetah-velocity-interpolation",
    "metarl_gan.envs.families.half_cheetah:half_cheetah_velocity_interpolation",
)
register_family(
    "half-cheetah-velocity-extrapolation",
    "metarl_gan.envs.families.half_cheetah:half_cheetah_velocity_extrapolation",
)

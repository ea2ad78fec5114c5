"""The families that come with the package, registered as a user registers one."""

from metarl_gan.envs.registry import register_family

register_family("point-goal", "metarl_gan.envs.point_goal:PointGoal")
register_family("pendulum-physics", "metarl_gan.envs.pendulum:PendulumPhysics")
register_family("half-cheetah-velocity", "metarl_gan.envs.half_cheetah:half_cheetah_velocity")
register_family("half-cheetah-direction", "metarl_gan.envs.half_cheetah:half_cheetah_direction")

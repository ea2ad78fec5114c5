"""The families that come with the package, registered as a user registers one."""

from metarl_gan.envs.registry import register_family

register_family("point-goal", "metarl_gan.envs.point_goal:PointGoal")

"""Any Gymnasium environments, stepped together one after the other."""

from metarl_gan.envs.environment_source import EnvironmentSource
from metarl_gan.envs.local_rows import LocalRows
from metarl_gan.envs.looped_vector import LoopedTaskVectorEnv
from metarl_gan.envs.rows import EnvironmentRows


class SyncTaskVectorEnv(LoopedTaskVectorEnv):
    """The environments that `family.make` builds, in a Python loop in this process.

    One that crashes the process or never returns is beyond its help: see `AsyncTaskVectorEnv`.
    """

    def _house(self, family: EnvironmentSource) -> EnvironmentRows:
        return LocalRows(family)

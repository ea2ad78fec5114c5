"""Any Gymnasium environments, stepped together one after the other."""

from metarl_gan.envs.stepping.environment_source import EnvironmentSource
from metarl_gan.envs.stepping.local_rows import LocalRows
from metarl_gan.envs.stepping.looped_vector import LoopedTaskVectorEnv
from metarl_gan.envs.stepping.rows import EnvironmentRows


class SyncTaskVectorEnv(LoopedTaskVectorEnv):
    """The environments that `family.make` builds, in a Python loop in this process.

    One that crashes the process or never returns is beyond its help: see `AsyncTaskVectorEnv`.
    """

    def _house(self, family: EnvironmentSource) -> EnvironmentRows:
        return LocalRows(family)

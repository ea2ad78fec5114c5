"""Any Gymnasium environments, stepped together in worker processes."""

from collections.abc import Sequence

from metarl_gan.envs.stepping.environment_source import EnvironmentSource
from metarl_gan.envs.stepping.looped_vector import LoopedTaskVectorEnv
from metarl_gan.envs.stepping.processors import available_processors
from metarl_gan.envs.stepping.rows import EnvironmentRows
from metarl_gan.envs.stepping.worker_rows import WorkerRows
from metarl_gan.envs.task import Task


class AsyncTaskVectorEnv(LoopedTaskVectorEnv):
    """The environments that `family.make` builds, in other processes.

    One that crashes its process, or takes too long, breaks as one that raises: the others go on.
    What a family, its environments and tasks hold must be picklable (by cloudpickle); scripts
    need no `if __name__ == "__main__"`. What environments print appears as if printed here.

    Args:
        family: Builds the environments.
        tasks: The tasks.
        envs_per_task: Environments of each task.
        step_timeout_s: An environment that takes longer in a step, or ten times longer in being
            made, reset or closed, is given up.
        processes: How many; `None` takes one per processor.

    Raises:
        FamilyError: The family cannot be sent to other processes, or not one environment can be
            made there.
    """

    def __init__(
        self,
        family: EnvironmentSource,
        tasks: Sequence[Task],
        envs_per_task: int = 1,
        *,
        step_timeout_s: float = 60.0,
        processes: int | None = None,
    ) -> None:
        self._step_timeout_s = step_timeout_s
        self._processes = processes or available_processors()
        super().__init__(family, tasks, envs_per_task)

    def _house(self, family: EnvironmentSource) -> EnvironmentRows:
        return WorkerRows(
            family,
            self.num_envs,
            self.envs_per_task,
            processes=self._processes,
            step_timeout_s=self._step_timeout_s,
        )

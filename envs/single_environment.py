"""One environment that somebody made, as a family of one task."""

import gymnasium

from metarl_gan.envs.distributions import Choice
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_space import TaskSpace


class SingleEnvironment(TaskFamily):
    """Lets an environment be collected from like any task; it is neither copied nor closed."""

    def __init__(self, env: gymnasium.Env, horizon: int) -> None:
        super().__init__(
            name="environment",
            task_space=TaskSpace(parameters={"environment": Choice(["given"])}),
            observation_space=env.observation_space,
            action_space=env.action_space,
            horizon=horizon,
        )
        self._env = env

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """The environment itself."""
        return self._env

"""MetaAgent: what training gives, and what adapts to one environment."""

from pathlib import Path

import gymnasium
from gymnasium import spaces
from torch import Tensor

from metarl_gan.agents.adapted_policy import AdaptedPolicy
from metarl_gan.agents.collector import AllTasksDroppedError, collect
from metarl_gan.components import Components
from metarl_gan.config import Config
from metarl_gan.envs.single_environment import SingleEnvironment
from metarl_gan.envs.stepping.sync_vector import SyncTaskVectorEnv
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.streams import Streams


class MetaAgent:
    """A meta-trained agent: initial policy, inner loop and, unless it does without, generator.

    Made by `metarl_gan.train` and `metarl_gan.load`.
    """

    def __init__(
        self,
        components: Components,
        *,
        run_folder: Path | None = None,
        real_steps: int = 0,
        meta_iterations: int = 0,
    ) -> None:
        self.components = components
        self.run_folder = run_folder
        self.real_steps = real_steps
        """Real environment steps that the run has spent, those after these weights included."""
        self.meta_iterations = meta_iterations
        """Meta-iterations that these weights were trained for."""

    @property
    def config(self) -> Config:
        """The resolved config of the run."""
        return self.components.config

    def adapt(
        self,
        env: gymnasium.Env,
        episodes: int = 1,
        *,
        generated: bool = True,
        seed: int = 0,
        task: Task | None = None,
    ) -> AdaptedPolicy:
        """Play `episodes` real episodes in `env`, adapt on real and generated data.

        Works in any environment with the spaces of the agent's family; an episode is cut at
        the family's horizon at the latest. `episodes=0` gives the initial policy. With
        `generated=False`, the same agent without its generator. Which `task` it is needs telling
        only to an agent whose encoder takes descriptors. The environment stays open.

        Raises `ValueError` for other spaces, a negative number of episodes, an environment
        that raises or returns numbers that are not finite, or a generator that needs to know more
        of the task than there is.
        """
        parts = self.components
        parts.require_spaces_of(env, "the environment")
        if episodes < 0:
            raise ValueError(f"episodes is {episodes}; give the number of real episodes, >= 0")
        streams = Streams(seed, parts.device)
        parameters = parts.meta_learner.initial_policy(1)
        if episodes:
            support = self._play(env, episodes, streams)
            parameters = self._adapted(support, streams, generated=generated, task=task)
        assert isinstance(parts.observation_space, spaces.Box)
        return AdaptedPolicy(
            parts.policy, parameters, parts.observation_space, env.action_space, seed=seed
        )

    def _adapted(
        self, support: Transitions, streams: Streams, *, generated: bool, task: Task | None
    ) -> dict[str, Tensor]:
        """Parameters `[1, ...]` after the inner loop on one task's support and what it tells."""
        parts = self.components
        known = None if task is None else [task]
        mixture = parts.augmentation(generated=generated).mix(
            support, streams.torch("adapt-imagination"), known
        )
        return parts.meta_learner.adapt(mixture.data, 1).parameters

    def _play(self, env: gymnasium.Env, episodes: int, streams: Streams) -> Transitions:
        parts = self.components
        family = SingleEnvironment(env, parts.horizon)
        venv = SyncTaskVectorEnv(family, family.sample(1, seed=0))
        initial = parts.meta_learner.initial_policy(1)
        played = []
        for episode in range(episodes):
            try:
                collection = collect(
                    venv,
                    parts.policy,
                    initial,
                    streams.torch("adapt-support", episode),
                    seed=streams.integer("adapt-environment", episode),
                )
            except AllTasksDroppedError as error:
                raise ValueError(f"cannot adapt in this environment: {error}") from error
            played.append(collection.batch)
        return Transitions.cat(played, "envs")

    def __repr__(self) -> str:
        return (
            f"MetaAgent(family={self.config.family!r}, meta_iterations={self.meta_iterations}, "
            f"real_steps={self.real_steps}, run_folder={self.run_folder})"
        )

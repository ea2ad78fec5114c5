"""MetaAgent: what training gives, and what adapts to one environment."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium
from gymnasium import spaces
from torch import Tensor

from metarl_gan.agents.adapted_policy import AdaptedPolicy
from metarl_gan.agents.collector import AllTasksDroppedError, play
from metarl_gan.agents.networks import Parameters
from metarl_gan.components import Components
from metarl_gan.config import Config
from metarl_gan.context_error import ContextError
from metarl_gan.data_augmentation import GeneratedAugmentation
from metarl_gan.dreams import GeneratedDream
from metarl_gan.envs.single_environment import SingleEnvironment
from metarl_gan.envs.stepping.sync_vector import SyncTaskVectorEnv
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN
from metarl_gan.streams import Streams

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from metarl_gan.learners.imagined_vec_env import ImaginedVecEnv


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
        env: "gymnasium.Env | VecEnv",
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

        A `VecEnv` of Stable-Baselines3 with one environment will do, too. A `VecNormalize` whose
        statistics are fixed is undone: the agent learns from raw observations and rewards, and the
        policy takes the observations that it gives.

        Raises `ValueError` for other spaces, a negative number of episodes, an environment
        that raises or returns numbers that are not finite, or a generator that needs to know more
        of the task than there is. Warns if what was played is too short for the generator, so
        that the agent adapts on real data alone.
        """
        if not isinstance(env, gymnasium.Env):
            # Stable-Baselines3 takes a second to import, and only this needs it.
            from metarl_gan.agents.sb3_environment import LoneEnvironment

            lone = LoneEnvironment(env)
            policy = self.adapt(lone, episodes, generated=generated, seed=seed, task=task)
            lone.seen_through(policy.policy)
            return policy
        parts = self.components
        parts.require_spaces_of(env, "the environment")
        if episodes < 0:
            raise ValueError(f"episodes is {episodes}; give the number of real episodes, >= 0")
        streams = Streams(seed, parts.device)
        parameters = parts.meta_learner.initial_policy(1)
        played: list[Transitions] = []
        for number in range(1, episodes + 1):
            known = None if number == 1 else parameters
            played.append(self._play(env, known, number - 1, streams))
            if number == episodes or parts.meta_learner.explores_adapted:
                support = Transitions.cat(played, "envs")
                parameters = self._adapted(support, streams, generated=generated, task=task)
        assert isinstance(parts.observation_space, spaces.Box)
        return AdaptedPolicy(
            parts.policy, parameters, parts.observation_space, env.action_space, seed=seed
        )

    def imagine(
        self,
        context: Transitions,
        *,
        n_rollouts: int = 8,
        n_steps: int | None = None,
        seed: int = 0,
        task: Task | None = None,
    ) -> Transitions:
        """Roll the initial policy out in the generator, under real transitions of one task.

        `context [1, episodes, time]`; gives `[1, n_rollouts, n_steps]`, in the environment's
        units. Rollouts are as long as in the run (`augmentation.rollout_steps`) unless `n_steps`
        says otherwise. `task` as in `adapt`.

        Raises `ContextError` for a context that is too short, has numbers that are not finite, or
        is of another family's shapes, and for an agent without a trained generator; `ValueError`
        for numbers below 1.
        """
        for name, value in (("n_rollouts", n_rollouts), ("n_steps", n_steps)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; give 1 or more")
        dream = self._dream(context, n_rollouts, seed, task)
        dream = replace(dream, n_steps=n_steps or dream.n_steps)
        return dream.rollouts(self.components.meta_learner.initial_policy(1))

    def imagined_env(
        self,
        context: Transitions,
        *,
        n_envs: int = 8,
        seed: int = 0,
        task: Task | None = None,
    ) -> "ImaginedVecEnv":
        """The generator, under real transitions of one task, as environments to learn in.

        They are a vector environment of Stable-Baselines3, whose models learn in it at no real
        step: `PPO("MlpPolicy", agent.imagined_env(context)).learn(10_000)`. Episodes are as long
        as the family's. Arguments and errors as of `imagine`.
        """
        # Stable-Baselines3 takes a second to import, and only this needs it.
        from metarl_gan.learners.imagined_vec_env import ImaginedVecEnv

        dream, parts = self._dream(context, n_envs, seed, task), self.components
        return ImaginedVecEnv(
            dream.gan,
            dream.context,
            observation_space=parts.observation_space,
            action_space=parts.action_space,
            n_envs=n_envs,
            horizon=parts.horizon,
            seed=seed,
        )

    def _dream(
        self, context: Transitions, n_rollouts: int, seed: int, task: Task | None
    ) -> GeneratedDream:
        """What imagining the one task of a context takes."""
        parts, gan = self.components, self._trained_gan()
        if context.n_tasks != 1:
            raise ContextError(
                f"the context is of {context.n_tasks} tasks; give that of one: context.select(0)"
            )
        context = gan.accepted(context.to(parts.device))
        augmentation = parts.augmentation()
        assert isinstance(augmentation, GeneratedAugmentation)  # there is a GAN
        stream = Streams(seed, parts.device).torch("agent-imagination")
        inferred = augmentation.infer(context, stream, None if task is None else [task])
        return augmentation.dream(context, inferred, stream, n_rollouts)

    def _trained_gan(self) -> ConditionalGAN:
        gan = self.components.gan
        if gan is None or not gan.trained:
            what = "without a generator" if gan is None else "whose generator has not learnt yet"
            raise ContextError(
                f"this agent is {what} (generated={self.config.generated}, generator.kind="
                f"{self.config.generator.kind!r}, {self.meta_iterations} meta-iterations), so that "
                "nothing can take the context: train one that has"
            )
        return gan

    def _adapted(
        self, support: Transitions, streams: Streams, *, generated: bool, task: Task | None
    ) -> dict[str, Tensor]:
        """Parameters `[1, ...]` after the inner loop on one task's support and what it tells."""
        parts, least = self.components, self.config.least_support
        known = None if task is None else [task]
        if generated and parts.gan is not None and support.n_valid() < least:
            warnings.warn(
                f"{support.n_valid()} real transitions were played, and the generator takes "
                f"{least} to say anything of the task: adapting on real data alone; play more "
                "episodes",
                stacklevel=3,
            )
        mixture = parts.augmentation(generated=generated).mix(
            support, streams.torch("adapt-imagination"), known
        )
        return parts.meta_learner.adapt(mixture, 1).parameters

    def _play(
        self, env: gymnasium.Env, parameters: Parameters | None, episode: int, streams: Streams
    ) -> Transitions:
        parts, stream = self.components, streams.torch("adapt-support", episode)
        family = SingleEnvironment(env, parts.horizon)
        venv = SyncTaskVectorEnv(family, family.sample(1, seed=0))
        try:
            player = parts.meta_learner.player(venv, parameters, stream)
            seed = streams.integer("adapt-environment", episode)
            return play(venv, player, seed=seed, device=stream.device).batch
        except AllTasksDroppedError as error:
            raise ValueError(f"cannot adapt in this environment: {error}") from error

    def __repr__(self) -> str:
        return (
            f"MetaAgent(family={self.config.family!r}, meta_iterations={self.meta_iterations}, "
            f"real_steps={self.real_steps}, run_folder={self.run_folder})"
        )

"""The parts of one agent, built from its config and the spaces of its family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gymnasium
import torch
from torch import Tensor

from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.agents.optimisers import with_prefix
from metarl_gan.agents.policies import Policy
from metarl_gan.checkpoint import require_fit
from metarl_gan.config import Config, ConfigError
from metarl_gan.data_augmentation import (
    DataAugmentation,
    GeneratedAugmentation,
    NoAugmentation,
    SimulatedAugmentation,
)
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.backends import Stepping
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN
from metarl_gan.learners.make import make_learner_policy, make_meta_learner
from metarl_gan.meta_learner import MetaLearner
from metarl_gan.normaliser import RunningNormaliser
from metarl_gan.spaces import require_same_spaces
from metarl_gan.streams import Streams


@dataclass(frozen=True, kw_only=True)
class Components:
    """Policy, meta-learner and, unless the agent does without, the conditional GAN."""

    config: Config
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    horizon: int
    device: torch.device
    policy: Policy
    meta_learner: MetaLearner
    observations: RunningNormaliser
    gan: ConditionalGAN | None
    descriptor_size: int = 0

    @classmethod
    def build(
        cls,
        config: Config,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        horizon: int,
        descriptor_size: int = 0,
    ) -> "Components":
        """Fresh parts; the same config gives the same weights.

        `descriptor_size` of the family's tasks matters only to an encoder that takes descriptors.

        Raises `ValueError` for spaces that no policy serves, `ConfigError` for a device that
        is not there, or a budget of real steps that is too small for one meta-iteration.
        """
        _require_budget(config, horizon)
        device = choose_device(config.device)
        policy = make_learner_policy(observation_space, action_space, config, device)
        streams = Streams(config.seed, device)
        gan = None
        if config.learns_generator:
            # Modules initialise from the global generator: set apart, and put back after.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(streams.integer("gan-weights"))
                described = descriptor_size if config.encoder.descriptor else 0
                gan = ConditionalGAN(observation_space, action_space, config, described)
            gan = gan.to(device)
        return cls(
            config=config,
            observation_space=observation_space,
            action_space=action_space,
            horizon=horizon,
            device=device,
            policy=policy,
            observations=RunningNormaliser(policy.n_inputs).to(device),
            meta_learner=make_meta_learner(policy, gan, config, streams.torch("policy-weights")),
            gan=gan,
            descriptor_size=descriptor_size,
        )

    def require_spaces_of(self, other: gymnasium.Env | TaskFamily, what: str) -> None:
        """Raise `ValueError` unless an environment or a family fits this agent's spaces."""
        ours = (self.observation_space, self.action_space)
        require_same_spaces(what, ours, (other.observation_space, other.action_space))

    def environments(self, family: TaskFamily) -> EnvironmentPool:
        """The environments of a family, stepped as the config says; to be closed."""
        return EnvironmentPool(family, Stepping(**vars(self.config.environments)))

    def tensors(self) -> dict[str, Tensor]:
        """All weights that act, for a checkpoint."""
        parts = {
            "meta_learner.": self.meta_learner.tensors(),
            "observations.": self.observations.state_dict(),
            "gan.": {} if self.gan is None else self.gan.state_dict(),
        }
        return {prefix + name: v for prefix, part in parts.items() for name, v in part.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of `tensors`. Raises `CheckpointError` for weights of other names or shapes."""
        require_fit(_weights(tensors), _weights(self.tensors()))
        self.meta_learner.restore(with_prefix(tensors, "meta_learner."))
        self.observations.load_state_dict(with_prefix(tensors, "observations."))
        self._standardise()
        if self.gan is not None:
            self.gan.load_state_dict(with_prefix(tensors, "gan."))

    def observe(self, batches: Sequence[Transitions]) -> None:
        """Take real transitions into the statistics that the policy's inputs are scaled by."""
        for batch in batches:
            self.observations.update(batch.observations[batch.valid])
        self._standardise()

    def _standardise(self) -> None:
        if self.config.policy.normalise_observations and bool(self.observations.count > 0):
            self.policy.set_observation_scale(self.observations.mean, self.observations.std)

    def augmentation(
        self, environments: EnvironmentPool | None = None, *, generated: bool = True
    ) -> DataAugmentation:
        """With generated data where the agent has a generator, or without.

        A simulator in the generator's place steps `environments`; without these it raises
        `ConfigError`.
        """
        generate = generated and self.config.uses_generator
        if not generate and not self.config.adapts_by_context:
            return NoAugmentation(self.config)
        if self.gan is None:
            if environments is None:
                raise ConfigError(
                    "generator.kind is 'simulator', which stands in for a generator on a family "
                    "only: adapt with generated=False, or evaluate on the family"
                )
            return SimulatedAugmentation(environments, self.policy, self.config, self.horizon)
        return GeneratedAugmentation(
            self.gan, self.policy, self.config, self.horizon, generate=generate
        )


def _require_budget(config: Config, horizon: int) -> None:
    sampler, limit = config.sampler, config.max_real_steps
    episodes = sampler.tasks_per_batch * (sampler.support_episodes + sampler.query_episodes)
    if limit is not None and limit < episodes * horizon:
        raise ConfigError(
            f"max_real_steps is {limit}; one meta-iteration takes up to {episodes} episodes of "
            f"{horizon} steps: give at least {episodes * horizon}, or lower "
            "sampler.tasks_per_batch, sampler.support_episodes or sampler.query_episodes"
        )


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What acts, without what belongs to learning: an optimiser has no state until it steps."""
    learning = ("learner.", "meta_learner.optimiser.")
    return {name: value for name, value in tensors.items() if not name.startswith(learning)}


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one; any other name is torch's own.

    Raises `ConfigError` for a device that torch does not know or that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"device is {name!r}, which is not available here ({error}); "
            "use 'auto', 'cpu', or a device that torch lists (--device, device=)"
        ) from error
    return device

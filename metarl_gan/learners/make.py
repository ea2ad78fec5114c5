"""The meta-learner that a config names, and the policy that it learns."""

import gymnasium
import torch

from metarl_gan.agents.policies import Policy, make_policy
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy
from metarl_gan.config import Config
from metarl_gan.gan import ConditionalGAN
from metarl_gan.learners.context_sac import ContextSac
from metarl_gan.learners.gradient import GradientMetaLearner
from metarl_gan.learners.sb3_policy import make_sb3_policy
from metarl_gan.learners.served_spaces import require_served
from metarl_gan.meta_learner import MetaLearner


def make_learner_policy(
    observation_space: gymnasium.Space,
    action_space: gymnasium.Space,
    config: Config,
    device: torch.device,
) -> Policy:
    """The policy that `learner.algorithm` learns in these spaces.

    Raises `ValueError` for spaces that it cannot act in; for actions that another learner serves,
    with the list of those that do.
    """
    require_served(config.learner, action_space)
    if config.learner.algorithm == "sb3_reptile":
        return make_sb3_policy(observation_space, action_space, config, device)
    policy = make_policy(
        observation_space,
        action_space,
        hidden_sizes=config.policy.hidden_sizes,
        activation=config.policy.activation,
        initial_std=config.policy.initial_std,
        device=device,
    )
    if config.learner.algorithm != "context_sac":
        return policy
    assert isinstance(action_space, gymnasium.spaces.Box)
    return SquashedGaussianPolicy(
        action_space,
        policy.n_inputs,
        config.encoder.encoding_size,
        config.sac.hidden_sizes,
        device=device,
    )


def make_meta_learner(
    policy: Policy, gan: ConditionalGAN | None, config: Config, stream: torch.Generator
) -> MetaLearner:
    """A fresh learner of `learner.algorithm`; its weights are drawn from `stream`."""
    if config.learner.algorithm == "context_sac":
        assert isinstance(policy, SquashedGaussianPolicy)
        assert gan is not None  # its config says that a generator is learnt
        return ContextSac(policy, gan, config, stream)
    if config.learner.algorithm == "sb3_reptile":
        # Stable-Baselines3 takes a second to import, and only this needs it.
        from metarl_gan.learners.sb3_reptile import Sb3Reptile

        return Sb3Reptile(policy, config, stream)
    return GradientMetaLearner(policy, config.learner, stream, config.torch_threads)

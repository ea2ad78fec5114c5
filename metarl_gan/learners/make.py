"""The meta-learner that a config names."""

import torch

from metarl_gan.agents.policies import Policy
from metarl_gan.config import Config
from metarl_gan.learners.gradient import GradientMetaLearner
from metarl_gan.meta_learner import MetaLearner


def make_meta_learner(policy: Policy, config: Config, stream: torch.Generator) -> MetaLearner:
    """A fresh learner of `learner.algorithm`; its weights are drawn from `stream`."""
    return GradientMetaLearner(policy, config.learner, stream)

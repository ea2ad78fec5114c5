"""Standardisation of observations as Stable-Baselines3 has it."""

import math

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import Tensor

COUNT = 1e5
"""Observations that the statistics count for, should they go on: as many as ours remember."""


def vec_normalize(venv: VecEnv, scale: tuple[Tensor, Tensor] | None) -> VecNormalize:
    """`venv` with observations standardised by a mean and a standard deviation `[obs]`, or as is.

    Nothing is clipped, and no statistics move.
    """
    wrapped = VecNormalize(
        venv, training=False, norm_obs=scale is not None, norm_reward=False, clip_obs=math.inf
    )
    if scale is not None:
        mean, std = (value.cpu().numpy().astype(np.float64) for value in scale)
        statistics = RunningMeanStd(shape=mean.shape)
        statistics.mean, statistics.count = mean, COUNT
        statistics.var = np.square(std) - wrapped.epsilon  # which is added again
        wrapped.obs_rms = statistics
    return wrapped

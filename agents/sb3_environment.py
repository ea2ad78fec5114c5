"""An environment out of a vector environment of Stable-Baselines3, on the scales it had itself."""

from typing import Any, final

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import Tensor

from metarl_gan.agents.policies import Policy


@final
class LoneEnvironment(gymnasium.Env):
    """The one environment of a `VecEnv`, whose episodes do not begin by themselves.

    Of a `VecNormalize` it is what lies within: raw observations and rewards, and statistics that
    do not move. Closing it closes nothing.

    Raises `ValueError` for a `VecEnv` of several environments, or what is none; for a
    `VecNormalize` whose statistics still move, because nothing could be learnt of what they will
    be; and for one inside of another wrapper.
    """

    def __init__(self, venv: object) -> None:
        if not isinstance(venv, VecEnv):
            raise ValueError(
                f"the environment is {venv!r}; give a gymnasium.Env, or a VecEnv of "
                "Stable-Baselines3 with one environment"
            )
        if venv.num_envs != 1:
            raise ValueError(
                f"the VecEnv has {venv.num_envs} environments; give one of them: they may be "
                "different tasks, and an agent adapts to one"
            )
        self._scale: tuple[Tensor, Tensor] | None = None
        if isinstance(venv, VecNormalize):
            self._scale, venv = _statistics(venv), venv.venv
        if _within(venv):
            raise ValueError(
                "a VecNormalize is inside of another wrapper: make it the outermost one, so that "
                "what it does can be undone"
            )
        self._venv = venv
        self.observation_space, self.action_space = venv.observation_space, venv.action_space

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict]:
        if seed is not None:
            self._venv.seed(seed)
        return np.asarray(self._venv.reset())[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observations, rewards, dones, infos = self._venv.step(np.asarray(action)[None])
        info, ended = infos[0], bool(dones[0])
        cut = ended and bool(info.get("TimeLimit.truncated", False))
        reached = info["terminal_observation"] if ended else np.asarray(observations)[0]
        return reached, float(rewards[0]), ended and not cut, cut, info

    def seen_through(self, policy: Policy) -> None:
        """Let a policy of raw observations take those that the `VecNormalize` gives.

        What that clips, at ten standard deviations by default, cannot be undone.
        """
        if self._scale is None:
            return
        theirs, their_std = self._scale
        mean, std = policy.observation_scale() or (torch.zeros(()), torch.ones(()))
        policy.set_observation_scale(
            (mean - theirs.to(mean.device)) / their_std.to(mean.device),
            std / their_std.to(mean.device),
        )


def _statistics(venv: VecNormalize) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation `[obs]` that observations are standardised by, if they are."""
    if not venv.norm_obs:
        return None
    if venv.training:
        raise ValueError(
            "the VecNormalize is still training: its statistics move, and what a policy sees with "
            "them; set training = False on it first"
        )
    statistics = venv.obs_rms
    assert isinstance(statistics, RunningMeanStd)  # observations are one Box
    std = np.sqrt(statistics.var + venv.epsilon)
    return (
        torch.from_numpy(np.asarray(statistics.mean, np.float32)),
        torch.from_numpy(np.asarray(std, np.float32)),
    )


def _within(venv: VecEnv) -> bool:
    inner = getattr(venv, "venv", None)
    return isinstance(inner, VecEnv) and (isinstance(inner, VecNormalize) or _within(inner))

"""The policy that adaptation gives: it acts in one environment, in Stable-Baselines3's manner."""

from copy import copy
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policy import Policy
from metarl_gan.envs.action_format import action_format

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize


class AdaptedPolicy:
    """A policy with fixed parameters; `predict` has Stable-Baselines3's signature.

    `evaluate_policy(policy, env)` of Stable-Baselines3 takes it as it is.
    """

    def __init__(
        self,
        policy: Policy,
        parameters: Parameters,
        observation_space: spaces.Box,
        action_space: gymnasium.Space,
        *,
        seed: int = 0,
    ) -> None:
        """`parameters` have a task axis of length 1."""
        # A copy: the agent's own policy goes on changing if the agent is trained further.
        self.policy = copy(policy)
        self.parameters = {name: value.detach().clone() for name, value in parameters.items()}
        self.observation_space = observation_space
        self.action_space = action_space
        self._format = action_format(action_space)
        self._device = next(iter(self.parameters.values())).device
        self._generator = torch.Generator(device=self._device).manual_seed(seed)

    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, tuple[np.ndarray, ...] | None]:
        """Action for one observation `[obs]`, or actions for several `[n, obs]`.

        Of a `Tuple` or `Dict`, several are a list of what the space contains: that is what the
        vector environments of Stable-Baselines3 index, so that `evaluate_policy` works. Actions
        are clipped to the action space. The policy has no memory: `state` is passed back as it
        came. Raises `ValueError` for observations of another shape.
        """
        shape = self.observation_space.shape
        rows = np.asarray(observation, np.float32)
        if rows.shape[-len(shape) :] != shape or rows.ndim > len(shape) + 1:
            raise ValueError(
                f"observation has shape {rows.shape}; this policy takes {shape}, or "
                f"{('n', *shape)} for several environments"
            )
        single = rows.ndim == len(shape)
        inputs = torch.as_tensor(rows, device=self._device).reshape(1, -1, *shape)
        actions = self._act(inputs, deterministic)[0].cpu().numpy()
        rows = self._format.clip(actions)
        return (self._format.unpack(rows[0]) if single else self._format.unpack_all(rows)), state

    @torch.no_grad()
    def _act(self, inputs: Tensor, deterministic: bool) -> Tensor:
        if deterministic:
            return self.policy.mode(self.parameters, inputs)
        return self.policy.sample(self.parameters, inputs, self._generator)[0]

    def set_random_seed(self, seed: int) -> None:
        """Start the stream of sampled actions anew."""
        self._generator.manual_seed(seed)

    def to_sb3(self, path: str, *, fold_scale: bool = True) -> "BaseAlgorithm":
        """Write a `.zip` that plain Stable-Baselines3 loads, and that acts as this policy does.

        It is a `PPO` for Gaussian and categorical policies, else that of which the policy is:
        `SAC`, `TD3` or `DQN`. Returns the model that was written. Without `fold_scale` it takes
        standardised observations, such as `vec_normalize` gives, in place of doing that itself.
        Raises `ValueError` for a policy without a counterpart there.
        """
        # Stable-Baselines3 takes a second to import, and only this needs it.
        from metarl_gan.agents.sb3 import as_sb3

        model = as_sb3(
            self.policy,
            self.parameters,
            self.observation_space,
            self.action_space,
            fold_scale=fold_scale,
        )
        model.save(path)
        return model

    def vec_normalize(self, venv: "VecEnv") -> "VecNormalize":
        """`venv` with observations standardised as this policy does it.

        For a model that was written without `fold_scale`. Statistics are fixed, and rewards stay
        as they are; set `training` and `norm_reward` to go on learning with both.
        """
        from metarl_gan.agents.sb3_scale import vec_normalize

        return vec_normalize(venv, self.policy.observation_scale())

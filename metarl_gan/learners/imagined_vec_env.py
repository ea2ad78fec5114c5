"""The generator of one task as a vector environment of Stable-Baselines3."""

from typing import Any, final

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn
from torch import Tensor

from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.imagination import STATE_LIMIT_STDS


@final
class ImaginedVecEnv(VecEnv):
    """Episodes in the generator, under what a context says of one task: for `model.learn`.

    No real step is taken. Episodes begin at real initial states of the family's tasks, end where
    the generator terminates them, and are cut after `horizon` steps (`TimeLimit.truncated`); the
    observation that they reached is their `terminal_observation`. Every `info` has `generated:
    True`. A state that runs away is kept within what was ever seen, as in imagination.

    Args:
        gan: A trained generator.
        context: What was inferred of the task.
        observation_space: Of the task.
        action_space: Of the task; actions are clipped to it.
        n_envs: Episodes at a time.
        horizon: Steps after which an episode is cut.
        seed: Of everything random; `seed(...)` starts it anew.

    Raises:
        ValueError: a context of several tasks, a generator that has learnt nothing, or numbers
            below 1.
    """

    def __init__(
        self,
        gan: ConditionalGAN,
        context: TaskContext,
        *,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        n_envs: int = 8,
        horizon: int,
        seed: int = 0,
    ) -> None:
        if len(context.encoding) != 1:
            raise ValueError(f"the context is of {len(context.encoding)} tasks; give that of one")
        if not gan.trained:
            raise ValueError("the generator has not learnt yet: there is nothing to imagine with")
        for name, value in (("n_envs", n_envs), ("horizon", horizon)):
            if value < 1:
                raise ValueError(f"{name} is {value}; give 1 or more")
        super().__init__(n_envs, observation_space, action_space)
        self._gan, self._context, self._horizon = gan, context, horizon
        self._stream = torch.Generator(device=context.encoding.device).manual_seed(seed)
        self._states = context.encoding.new_zeros(n_envs, gan.space.state_size)
        self._times = np.zeros(n_envs, np.int64)
        self._actions = np.zeros(0)

    def reset(self) -> VecEnvObs:
        if self._seeds[0] is not None:
            self._stream.manual_seed(self._seeds[0])
        self._begin(torch.ones(self.num_envs, dtype=torch.bool))
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return self._observations(self._states)

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = np.asarray(actions)

    def step_wait(self) -> VecEnvStepReturn:
        states, rewards, terminated = self._next()
        self._times += 1
        ended = terminated.cpu().numpy()
        cut = (self._times >= self._horizon) & ~ended
        done = ended | cut
        reached = self._observations(states)
        infos: list[dict[str, Any]] = [
            {"generated": True, "TimeLimit.truncated": bool(was_cut)} for was_cut in cut
        ]
        for env in np.flatnonzero(done):
            infos[env]["terminal_observation"] = reached[env]
        self._states = states
        self._begin(torch.from_numpy(done))
        return self._observations(self._states), rewards.cpu().numpy(), done, infos

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        if attr_name == "render_mode":  # asked for before it is there
            return [None] * len(self._rows(indices))
        return [getattr(self, attr_name)] * len(self._rows(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:  # noqa: ANN401
        raise AttributeError(f"episodes in a generator have no {attr_name!r} of their own to set")

    def env_method(
        self,
        method_name: str,
        *method_args: Any,  # noqa: ANN401
        indices: VecEnvIndices = None,
        **method_kwargs: Any,  # noqa: ANN401
    ) -> list[Any]:
        raise AttributeError(f"episodes in a generator have no method {method_name!r}")

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper], indices: VecEnvIndices = None
    ) -> list[bool]:
        return [False] * len(self._rows(indices))

    def _begin(self, envs: Tensor) -> None:
        """New episodes in some environments, given as a mask."""
        starts = self._gan.space.draw_starts((self.num_envs,), self._stream)
        self._states = torch.where(envs.to(starts.device).unsqueeze(-1), starts, self._states)
        self._times[envs.numpy()] = 0

    @torch.no_grad()
    def _next(self) -> tuple[Tensor, Tensor, Tensor]:
        """The states reached, rewards, and what terminates, `[envs, ...]`."""
        gan, space, device = self._gan, self._gan.space, self._states.device
        actions = space.encode_actions(self._environment_actions().to(device))
        states = space.state.normalise(self._states)
        made = gan.generate(self._context, states[None], actions[None], self._stream)
        limit = STATE_LIMIT_STDS * space.state.std
        following = space.next_states(self._states, made.changes[0])
        low, high = space.state.mean - limit, space.state.mean + limit
        chance = torch.rand(self.num_envs, generator=self._stream, device=device)
        terminated = chance < torch.sigmoid(made.terminated_logits[0, :, 0])
        rewards = space.reward.denormalise(made.rewards[0]).squeeze(-1)
        return torch.clamp(following, low, high), rewards, terminated

    def _environment_actions(self) -> Tensor:
        if isinstance(self.action_space, gymnasium.spaces.Discrete):
            return torch.from_numpy(self._actions.astype(np.int64)).reshape(self.num_envs)
        return torch.from_numpy(self._actions.astype(np.float32)).reshape(self.num_envs, -1)

    def _observations(self, states: Tensor) -> np.ndarray:
        return states.cpu().numpy().astype(self.observation_space.dtype)

    def _rows(self, indices: VecEnvIndices) -> list[int]:
        return list(self._get_indices(indices))

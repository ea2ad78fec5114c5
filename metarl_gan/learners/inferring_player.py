"""Who finds out within an episode which task it is."""

from typing import final

import numpy as np
import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.player import Player
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.gan import ConditionalGAN
from metarl_gan.transition_space import Rows


@final
class InferringPlayer(Player):
    """Policies under encodings that are inferred anew, every so many steps, as the episode goes on.

    Every environment is by itself, also those of one task: each is a first episode.

    Args:
        venv: What is played.
        policy: How parameters act.
        gan: What infers.
        parameters: `[tasks, ...]`, the first encodings among them.
        generator: Of actions that are sampled.
        every_steps: From one inference to the next.
        deterministic: Whether to take the most probable action.
    """

    def __init__(
        self,
        venv: TaskVectorEnv,
        policy: SquashedGaussianPolicy,
        gan: ConditionalGAN,
        parameters: Parameters,
        generator: torch.Generator,
        *,
        every_steps: int,
        deterministic: bool,
    ) -> None:
        self._policy, self._gan, self._generator = policy, gan, generator
        self._every_steps, self._deterministic = every_steps, deterministic
        self._parameters = {
            name: value.repeat_interleave(venv.envs_per_task, 0)
            for name, value in parameters.items()
        }
        self._states: list[Tensor] = []
        self._actions: list[Tensor] = []
        self._rewards: list[Tensor] = []
        self._valid: list[Tensor] = []

    def act(self, observations: np.ndarray) -> tuple[np.ndarray, Tensor]:
        states = torch.as_tensor(observations, device=self._generator.device)
        self._states.append(states)
        n_steps = len(self._actions)
        if n_steps >= self._gan.min_context and n_steps % self._every_steps == 0:
            self._parameters["encoding"] = self._gan.take_in(self._so_far()).encoding
        rows = states.unsqueeze(1)
        if self._deterministic:
            actions = self._policy.mode(self._parameters, rows)
            log_probs = actions.new_zeros(len(actions))
        else:
            actions, log_probs = self._policy.sampler(self._parameters)(rows, self._generator)
        self._actions.append(actions.squeeze(1))
        return actions.squeeze(1).cpu().numpy(), log_probs

    def hear(self, rewards: np.ndarray, ended: np.ndarray, active: np.ndarray) -> None:
        device, dtype = self._generator.device, self._states[0].dtype
        self._rewards.append(torch.as_tensor(rewards, device=device, dtype=dtype))
        self._valid.append(torch.as_tensor(active, device=device))

    def _so_far(self) -> Rows:
        """The transitions of each environment, `[envs, steps]`.

        Who goes on has not terminated; what is inferred for the others is not acted on.
        """
        space, states = self._gan.space, torch.stack(self._states, dim=1)
        before, after = states[:, :-1], states[:, 1:]
        rewards = torch.stack(self._rewards, dim=1).unsqueeze(-1)
        return Rows(
            states=space.state.normalise(before),
            actions=space.encode_actions(torch.stack(self._actions, dim=1)),
            changes=space.change.normalise(space.raw_change(before, after)),
            rewards=space.reward.normalise(rewards),
            terminated=torch.zeros_like(rewards),
            valid=torch.stack(self._valid, dim=1),
        )

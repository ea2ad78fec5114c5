"""Imagination: rollouts of the adapting policy in the generator, all tasks in one batch."""

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import Policy
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN
from metarl_gan.generator import over_rows

STATE_LIMIT_STDS = 8.0
"""How far from the mean of real states an imagined one may go; a runaway rollout stops there."""

ROWS_AT_ONCE = 8192
"""Rows per call of the reward network: the activations of more do not fit in a cache."""


@torch.no_grad()
def imagine(
    gan: ConditionalGAN,
    policy: Policy,
    parameters: Parameters,
    encoding: Tensor,
    starts: Tensor,
    n_steps: int,
    generator: torch.Generator,
) -> Transitions:
    """Roll the policy of each task out in the generator, from `starts [tasks, rollouts, obs]`.

    Returns generated transitions `[tasks, rollouts, n_steps]`; a rollout that the generator
    terminates is invalid from then on, and one that reaches `n_steps` is truncated.
    """
    rollouts = _Rollouts(gan, encoding, starts, n_steps, generator)
    rollouts.run(policy, parameters, generator)
    return rollouts.transitions()


class _Rollouts:
    """Rollouts in the making; tensors `[time, tasks, rollouts, ...]`.

    Step by step only that is computed which the next step needs. What the dynamics network
    takes lies side by side in `inputs`: states, actions, encoding, noise.
    """

    def __init__(
        self,
        gan: ConditionalGAN,
        encoding: Tensor,
        starts: Tensor,
        n_steps: int,
        generator: torch.Generator,
    ) -> None:
        self._gan = gan
        leading, states = (n_steps, *starts.shape[:2]), gan.space.state_size
        like = {"device": starts.device, "generator": generator}
        noise = torch.randn((*leading, gan.settings.noise_size), **like)
        self._chance = torch.rand(leading, **like)
        self._encoding = over_rows(encoding, starts.shape[1]).expand(*leading, -1)
        known_later = starts.new_empty((*leading, states + gan.space.action_size))
        self._inputs = torch.cat([known_later, self._encoding, noise], dim=-1)
        self._states, self._acts, _ = self._inputs.split(
            [states, gan.space.action_size, self._inputs.shape[-1] - known_later.shape[-1]], dim=-1
        )
        self._observations = starts.new_empty((n_steps + 1, *starts.shape))
        self._observations[0] = starts
        self._changes = starts.new_empty((*leading, states))
        self._terminated_logits = starts.new_empty((*leading, 1))
        self._actions: list[Tensor] = []
        self._log_probs: list[Tensor] = []

    def run(self, policy: Policy, parameters: Parameters, generator: torch.Generator) -> None:
        """Take all steps."""
        space, step, act = self._gan.space, self._gan.imagining.step, policy.sampler(parameters)
        limit = STATE_LIMIT_STDS * space.state.std
        low, high = space.state.mean - limit, space.state.mean + limit
        # Unbound at once: to index all of these by time in the loop takes as long as a layer.
        stored = (self._inputs, self._states, self._acts, self._changes, self._terminated_logits)
        by_time = zip(*(tensor.unbind() for tensor in stored), strict=True)
        reached = self._observations.unbind()
        for time, (inputs, states, acts, changes, logits) in enumerate(by_time):
            actions, log_probs = act(reached[time], generator)
            states.copy_(space.state.normalise(reached[time]))
            acts.copy_(space.encode_actions(actions))
            change, logit = step(inputs)
            changes.copy_(change)
            logits.copy_(logit)
            torch.clamp(space.next_states(reached[time], change), low, high, out=reached[time + 1])
            self._actions.append(actions)
            self._log_probs.append(log_probs)

    def transitions(self) -> Transitions:
        """The record of it all, `[tasks, rollouts, time, ...]`."""
        ends = self._chance < torch.sigmoid(self._terminated_logits).squeeze(-1)
        valid = ends.cumsum(0) - ends.long() == 0
        truncated = torch.zeros_like(valid)
        truncated[-1] = valid[-1] & ~ends[-1]
        steps = {
            "observations": self._observations[:-1],
            "actions": torch.stack(self._actions),
            "rewards": self._rewards(),
            "next_observations": self._observations[1:],
            "terminated": ends & valid,
            "truncated": truncated,
            "valid": valid,
            "log_probs": torch.stack(self._log_probs),
            "generated": torch.ones_like(valid),
        }
        return Transitions(**{name: v.movedim(0, 2).contiguous() for name, v in steps.items()})

    def _rewards(self) -> Tensor:
        """Rewards `[time, tasks, rollouts]` in the environment's units."""
        steps_at_once = max(1, ROWS_AT_ONCE // self._chance[0].numel())
        fields = (self._states, self._acts, self._changes, self._encoding)
        parts = zip(*(field.split(steps_at_once) for field in fields), strict=True)
        rewards = torch.cat([self._gan.imagining.rewards(*part) for part in parts])
        return self._gan.space.reward.denormalise(rewards).squeeze(-1)

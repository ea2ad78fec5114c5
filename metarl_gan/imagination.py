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
    model, space = gan.imagining, gan.space
    n_tasks, n_rollouts, _ = starts.shape
    spread = over_rows(encoding, n_rollouts)
    shape = (n_steps, n_tasks, n_rollouts)
    like = {"device": starts.device, "generator": generator}
    noise = torch.randn((*shape, gan.settings.noise_size), **like)
    chance = torch.rand(shape, **like)
    limit = STATE_LIMIT_STDS * space.state.std
    low, high = space.state.mean - limit, space.state.mean + limit
    states, alive = starts, torch.ones(starts.shape[:2], dtype=torch.bool, device=starts.device)
    steps: dict[str, list[Tensor]] = {name: [] for name in _RECORDED}
    for time in range(n_steps):
        actions, log_probs = policy.sample(parameters, states, generator)
        generated = model(
            space.state.normalise(states), space.encode_actions(actions), spread, noise[time]
        )
        following = space.next_states(states, generated.changes).clamp(low, high)
        ends = chance[time] < torch.sigmoid(generated.terminated_logits).squeeze(-1)
        recorded = (
            states,
            actions,
            space.reward.denormalise(generated.rewards).squeeze(-1),
            following,
            ends & alive,
            alive,
            log_probs,
        )
        for name, value in zip(_RECORDED, recorded, strict=True):
            steps[name].append(value)
        alive = alive & ~ends
        states = following
    stacked = {name: torch.stack(values, dim=2) for name, values in steps.items()}
    truncated = torch.zeros_like(stacked["valid"])
    truncated[:, :, -1] = alive
    return Transitions(**stacked, truncated=truncated, generated=torch.ones_like(stacked["valid"]))


_RECORDED = (
    "observations",
    "actions",
    "rewards",
    "next_observations",
    "terminated",
    "valid",
    "log_probs",
)

"""How far generated transitions are from real ones: one step, many steps, terminations.

Functions of tensors alone, all tasks at once; errors are squared and in normalised units, so
that 1 is what predicting the mean would give.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metarl_gan.envs.transitions import Transitions
from metarl_gan.transition_report import Terminations
from metarl_gan.transition_space import Rows, TransitionSpace

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Next states and rewards `[tasks, rows]` from states and actions `[tasks, rows, size]`."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Parts of real episodes, normalised: `[tasks, windows, time, size]`.

    `rewards` and `valid` have no last axis; what is valid comes first.
    """

    states: Tensor
    actions: Tensor
    next_states: Tensor
    rewards: Tensor
    valid: Tensor


@dataclass(frozen=True, kw_only=True)
class KStepErrors:
    """Errors of the state `[ks, tasks, components]` and of the reward `[ks, tasks]`."""

    state: Tensor
    reward: Tensor


@torch.no_grad()
def k_step_errors(step: Step, real: Windows, ks: Sequence[int]) -> KStepErrors:
    """Squared errors `k` steps after the first state of a window, under its real actions.

    The generator goes on from its own states. NaN for a `k` that no window of a task is long
    enough for. Of a generator that draws, one draw counts: one that is right about chance is off
    by twice the variance of the outcome.
    """
    states, errors = real.states[:, :, 0], {}
    for time in range(min(max(ks), real.valid.shape[-1])):
        states, rewards = step(states, real.actions[:, :, time])
        weight = real.valid[:, :, time].to(states.dtype)
        # Without a window that long, 0 / 0.
        weight = (weight / weight.sum(-1, keepdim=True)).unsqueeze(-1)
        state = _weighted((states - real.next_states[:, :, time]).square(), weight)
        reward = _weighted((rewards - real.rewards[:, :, time]).square().unsqueeze(-1), weight)
        errors[time + 1] = (state, reward.squeeze(-1))
    n_tasks, size = real.states.shape[0], real.states.shape[-1]
    unknown = (states.new_full((n_tasks, size), torch.nan), states.new_full((n_tasks,), torch.nan))
    found = [errors.get(k, unknown) for k in ks]
    return KStepErrors(
        state=torch.stack([state for state, _ in found]),
        reward=torch.stack([reward for _, reward in found]),
    )


def _weighted(errors: Tensor, weight: Tensor) -> Tensor:
    """Mean over windows; what lies beyond a window's end may be anything and counts nothing."""
    return torch.where(weight == 0, weight, errors * weight).sum(-2)


def draw_windows(
    space: TransitionSpace, batch: Transitions, n_windows: int, length: int, stream: torch.Generator
) -> Windows:
    """Windows of `length` from real episodes `[tasks, episodes, time]`, their starts at random."""
    n_time = batch.valid.shape[-1]
    starts = torch.multinomial(
        batch.valid.flatten(1).float(), n_windows, replacement=True, generator=stream
    ).unsqueeze(-1)
    ahead = torch.arange(length, device=starts.device)
    inside = starts % n_time + ahead < n_time
    index = torch.where(inside, starts + ahead, starts)
    tasks = torch.arange(len(index), device=index.device)[:, None, None]

    def cut(values: Tensor) -> Tensor:
        return values.flatten(1, 2)[tasks, index]

    return Windows(
        states=cut(space.state.normalise(batch.observations)),
        actions=cut(space.encode_actions(batch.actions)),
        next_states=cut(space.state.normalise(batch.next_observations)),
        rewards=cut(space.reward.normalise(batch.rewards.unsqueeze(-1)).squeeze(-1)),
        valid=cut(batch.valid) & inside,
    )


def draw_rows(rows: Rows, n_rows: int, stream: torch.Generator) -> Rows:
    """Distinct valid rows `[tasks, n, size]` at random, of rows `[tasks, episodes, time]`.

    `n` is `n_rows` or, if a task has fewer, what every task has; waits for the device.
    """
    flat = {name: value.flatten(1, 2) for name, value in vars(rows).items()}
    valid = flat["valid"]
    n = min(n_rows, int(valid.sum(-1).min()))
    key = torch.rand(valid.shape, generator=stream, device=valid.device) + (~valid).float()
    order = key.argsort(-1)[:, :n]
    tasks = torch.arange(len(order), device=order.device).unsqueeze(-1)
    return Rows(**flat).index(tasks, order)


def terminal_scores(probabilities: Tensor, truth: Tensor) -> Terminations:
    """Precision and recall of terminations: those of probability 1/2 or more are predicted.

    `probabilities` and `truth` (bool) are of real transitions, of any one shape.
    """
    predicted = probabilities >= 0.5
    n_real, n_predicted = int(truth.sum()), int(predicted.sum())
    hits = int((predicted & truth).sum())
    return Terminations(
        transitions=truth.numel(),
        real=n_real,
        predicted=n_predicted,
        expected=float(probabilities.double().sum()),
        precision=hits / n_predicted if n_predicted else float("nan"),
        recall=hits / n_real if n_real else float("nan"),
    )

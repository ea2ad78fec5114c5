"""Holds a GAN's transitions against real ones of held-out episodes."""

import torch
from torch import Tensor

from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.statistics import FloatArray
from metarl_gan.transition_fidelity import (
    Step,
    draw_rows,
    draw_windows,
    k_step_errors,
    terminal_scores,
)
from metarl_gan.transition_report import Terminations, TransitionFidelity
from metarl_gan.transition_space import Rows
from metarl_gan.two_sample import density_and_coverage, energy_test, expected_coverage

K_STEPS = (1, 2, 5, 10, 20)
WINDOWS_PER_TASK = 200
TEST_ROWS = 256
"""Rows per task of each sample that is compared."""
PERMUTATIONS = 999
NEIGHBOURS = 5
"""As recommended by Naeem et al. 2020."""
ROWS_AT_ONCE = 2048
"""Rows per task and call, where all rows are looked at."""
STATE_LIMIT_STDS = 8.0
"""Where imagination stops a runaway rollout; from there its error grows no more."""


def transition_fidelity(
    gan: ConditionalGAN, context: TaskContext, held_out: Transitions, stream: torch.Generator
) -> TransitionFidelity:
    """What `gan` generates under `context` beside `held_out [tasks, episodes, time]` episodes.

    These are of the same tasks, and not the episodes that the context was inferred from.
    """
    rows = gan.space.rows(held_out)
    windows = draw_windows(gan.space, held_out, WINDOWS_PER_TASK, max(K_STEPS), stream)
    errors = k_step_errors(_open_loop(gan, context, stream), windows, K_STEPS)
    reals, others = _halves(draw_rows(rows, 2 * TEST_ROWS, stream))
    made = gan.generate(context, reals.states, reals.actions, stream)
    made_elsewhere = gan.generate(context, others.states, others.actions, stream)
    conditions = torch.cat([reals.states, reals.actions], dim=-1)
    real = torch.cat([reals.changes, reals.rewards], dim=-1)
    generated = torch.cat([made.changes, made.rewards], dim=-1)
    elsewhere = torch.cat([made_elsewhere.changes, made_elsewhere.rewards], dim=-1)
    test = energy_test(
        torch.cat([conditions, real], dim=-1),
        torch.cat([conditions, generated], dim=-1),
        PERMUTATIONS,
        stream,
    )
    # Outcomes at the very same states and actions would lie beside the real ones even if the
    # generator knew few of the outcomes that there are.
    densities, coverages = density_and_coverage(real, elsewhere, NEIGHBOURS)
    n_rows = real.shape[1]
    return TransitionFidelity(
        episodes=held_out.valid.shape[1],
        change_errors=_array((made.changes - reals.changes).square().mean((0, 1))),
        k_steps=K_STEPS,
        component_errors=_array(errors.state.nanmean(1)),
        state_errors=_array(errors.state.mean(-1)),
        reward_errors=_array(errors.reward),
        terminations=_terminations(gan, context, rows, stream),
        energy_distances=_array(test.distance),
        energy_p_values=_array(test.p_value),
        energy_p_value=float(test.overall_p_value),
        densities=_array(densities),
        coverages=_array(coverages),
        expected_coverage=expected_coverage(n_rows, n_rows, NEIGHBOURS),
    )


def _open_loop(gan: ConditionalGAN, context: TaskContext, stream: torch.Generator) -> Step:
    """A step of the generator from states that it may have generated itself."""
    space = gan.space

    def step(states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        made = gan.generate(context, states, actions, stream)
        following = space.next_states(space.state.denormalise(states), made.changes)
        limited = space.state.normalise(following).clamp(-STATE_LIMIT_STDS, STATE_LIMIT_STDS)
        return limited, made.rewards.squeeze(-1)

    return step


def _terminations(
    gan: ConditionalGAN, context: TaskContext, rows: Rows, stream: torch.Generator
) -> Terminations:
    """Scores on every valid row: terminations are too rare for a sample."""
    states, actions = rows.states.flatten(1, 2), rows.actions.flatten(1, 2)
    parts = zip(states.split(ROWS_AT_ONCE, 1), actions.split(ROWS_AT_ONCE, 1), strict=True)
    logits = torch.cat(
        [gan.generate(context, *part, stream).terminated_logits for part in parts], dim=1
    )
    valid = rows.valid.flatten(1)
    return terminal_scores(
        torch.sigmoid(logits.squeeze(-1))[valid], rows.terminated.flatten(1, 3)[valid] > 0.5
    )


def _halves(rows: Rows) -> tuple[Rows, Rows]:
    """Two parts `[tasks, rows]` of the same size."""
    half = rows.valid.shape[1] // 2
    first, second = (
        Rows(**{name: value[:, part] for name, value in vars(rows).items()})
        for part in (slice(0, half), slice(half, 2 * half))
    )
    return first, second


def _array(values: Tensor) -> FloatArray:
    return values.double().cpu().numpy()

"""Virtual tasks are mixtures of real ones, stretched, with somewhere to start from."""

import torch

from metarl_gan.gan import TaskContext
from metarl_gan.held_out_errors import HeldOutErrors
from metarl_gan.learners.virtual_tasks import (
    PARENTS,
    STRETCH,
    stretched_shares,
    with_virtual_tasks,
)
from tests.agents.toys import random_episodes, stream

N_TASKS, N_VIRTUAL = 6, 40


def a_context(seed):
    encoding = 0.3 * torch.randn(N_TASKS, 2, generator=stream(seed)).clamp(-1, 1)
    numbers = torch.arange(N_TASKS, dtype=torch.float32)
    errors = HeldOutErrors(next_state=numbers, reward=numbers, terminated=numbers)
    return TaskContext(encoding=encoding, errors=errors)


def stored_episodes():
    return random_episodes((N_TASKS, 2, 4), seed=3)


def test_shares_sum_to_one_and_reach_beyond_the_parents():
    shares = stretched_shares(20_000, stream(0))
    torch.testing.assert_close(shares.sum(1), torch.ones(20_000))
    # Uniform on the simplex, twice as far from its middle: from -1/3 to 5/3, on average 1/3.
    low, high = -(STRETCH - 1) / PARENTS, STRETCH - (STRETCH - 1) / PARENTS
    assert low <= float(shares.min()) < low + 0.01
    assert high - 0.05 < float(shares.max()) <= high
    torch.testing.assert_close(shares.mean(0), torch.full((3,), 1 / 3), atol=0.01, rtol=0)


def test_virtual_tasks_come_after_the_real_ones_mixed_alike_in_all_contexts():
    contexts, stored = [a_context(1), a_context(2)], stored_episodes()
    joined, sources = with_virtual_tasks(contexts, stored, N_VIRTUAL, stream(5))
    for context, both in zip(contexts, joined, strict=True):
        assert both.encoding.shape == (N_TASKS + N_VIRTUAL, 2)
        torch.testing.assert_close(both.encoding[:N_TASKS], context.encoding)

    # Encodings that depend on the task in the same way are mixed in the same way.
    doubled = TaskContext(encoding=contexts[0].encoding * 0.5, errors=contexts[0].errors)
    pair, _ = with_virtual_tasks([contexts[0], doubled], stored, N_VIRTUAL, stream(5))
    inside = (pair[0].encoding.abs() < 1).all(1)
    torch.testing.assert_close(pair[0].encoding[inside] * 0.5, pair[1].encoding[inside])
    assert sources.n_tasks == N_TASKS + N_VIRTUAL


def test_a_virtual_task_starts_where_its_nearest_parent_has_been():
    # Encodings at the corners of a large triangle: a mixture is nearest to what it has most of.
    corners = torch.tensor([[0.9, 0.0], [-0.9, 0.0], [0.0, 0.9]])
    numbers = torch.arange(3, dtype=torch.float32)
    errors = HeldOutErrors(next_state=numbers, reward=numbers, terminated=numbers)
    context, stored = (
        TaskContext(encoding=corners, errors=errors),
        stored_episodes().select(slice(3)),
    )
    [joined], sources = with_virtual_tasks([context], stored, N_VIRTUAL, stream(7))
    nearest = joined.errors.reward[3:].long()
    torch.testing.assert_close(sources.observations[3:], stored.observations[nearest])
    assert set(nearest.tolist()) == {0, 1, 2}
    assert float(joined.encoding.abs().max()) == 1.0  # the encoder's range
    distances = torch.cdist(joined.encoding[3:], corners)
    assert (distances.argmin(1) == nearest).float().mean() > 0.8


def test_fewer_tasks_than_parents_are_mixed_with_repetition():
    context, stored = a_context(1), stored_episodes().select(0)
    one = TaskContext(encoding=context.encoding[:1], errors=context.errors.select(slice(1)))
    [joined], sources = with_virtual_tasks([one], stored, 3, stream(0))
    torch.testing.assert_close(joined.encoding, context.encoding[:1].expand(4, -1))
    assert sources.n_tasks == 4

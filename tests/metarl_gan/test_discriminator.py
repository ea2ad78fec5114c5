import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from metarl_gan.discriminator import Discriminator, judged_inputs
from metarl_gan.generator_config import DiscriminatorConfig
from metarl_gan.transition_space import TransitionSpace
from tests.metarl_gan.toys import BOX, OBSERVATIONS, linears

SIZE, ENCODING = 3 + 2 + 3 + 1 + 1, 4
PLAIN = DiscriminatorConfig(hidden_sizes=(16, 8), spectral_norm=False)


def discriminator_of(config=PLAIN, **changes):
    space = TransitionSpace(OBSERVATIONS, BOX, residual=True)
    torch.manual_seed(0)
    return Discriminator(space, ENCODING, replace(config, **changes))


def some(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_row_is_a_whole_transition():
    parts = [some(2, 5, size, seed=size) for size in (3, 2, 3, 1, 1)]
    row = judged_inputs(*parts)
    assert row.shape == (2, 5, SIZE)
    assert discriminator_of().transition_size == SIZE
    for found, part in zip(row.split([3, 2, 3, 1, 1], dim=-1), parts, strict=True):
        torch.testing.assert_close(found, part)


def test_every_part_of_a_transition_and_the_encoding_are_judged():
    discriminator = discriminator_of(packing=2, window_steps=2)
    rows = some(3, 4, 2 * SIZE).requires_grad_()
    encoding = some(3, ENCODING).requires_grad_()
    logits = discriminator(rows, encoding).logits
    gradients = torch.autograd.grad(logits.sum(), [rows, encoding])
    assert all(gradient.abs().min() > 0 for gradient in gradients)


def test_logits_are_affine_in_the_features():
    discriminator = discriminator_of()
    judgement = discriminator(some(3, 5, SIZE), some(3, ENCODING))
    assert judgement.logits.shape == (3, 5)
    assert judgement.features.shape == (3, 5, 8)
    last = linears(discriminator)[-1]
    expected = judgement.features @ last.weight[0] + last.bias
    torch.testing.assert_close(judgement.logits, expected)


def test_packs_are_neighbouring_rows_of_one_task():
    # Row r of task t is filled with 10 t + r.
    rows = (10 * torch.arange(2)[:, None] + torch.arange(7)).float()
    packs = discriminator_of(packing=3).packs(rows[..., None].expand(2, 7, SIZE))
    firsts = packs[..., ::SIZE]
    assert firsts.tolist() == [[[0, 1, 2], [3, 4, 5]], [[10, 11, 12], [13, 14, 15]]]


def test_a_pack_is_judged_by_its_own_rows_and_its_own_task():
    discriminator = discriminator_of(packing=3)
    rows, encoding = some(2, 7, SIZE).requires_grad_(), some(2, ENCODING).requires_grad_()
    judgement = discriminator(rows, encoding)
    assert judgement.logits.shape == (2, 2)
    assert judgement.features.shape == (2, 2, 8)
    by_row, by_task = torch.autograd.grad(judgement.logits[1, 0], [rows, encoding])
    assert by_row.abs().sum(-1).gt(0).tolist() == [[False] * 7, [True] * 3 + [False] * 4]
    assert by_task.abs().sum(-1).gt(0).tolist() == [False, True]


def test_a_row_is_worth_its_share_of_every_pack_that_holds_it():
    discriminator = discriminator_of(packing=2)
    rows, encoding = some(2, 3, SIZE), some(2, ENCODING)
    found = discriminator.judge_rows(rows, encoding)

    def logit(task, *members):
        one = slice(task, task + 1)
        return discriminator(rows[one][:, list(members)], encoding[one]).logits.item()

    for task in range(2):
        # Of three rows, the second of a pack is two further on.
        packs = [logit(task, 0, 2), logit(task, 1, 0), logit(task, 2, 1)]
        expected = [(packs[0] + packs[1]) / 4, (packs[1] + packs[2]) / 4, (packs[2] + packs[0]) / 4]
        assert found[task].tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("packing", [2, 3, 5])
def test_packs_of_rollouts_mix_rollouts_and_times(packing):
    discriminator = discriminator_of(packing=packing)
    n_rollouts, n_steps = 6, 10
    rows = some(1, n_rollouts * n_steps, SIZE).requires_grad_()
    worth = discriminator.judge_rows(rows, some(1, ENCODING))
    (by_row,) = torch.autograd.grad(worth[0, 23], [rows])
    judged_with = by_row[0].abs().sum(-1).nonzero().flatten()
    # All packs of a row: itself and packing - 1 others before and after it.
    assert len(judged_with) == 2 * packing - 1
    others = judged_with[judged_with != 23]
    assert (others - 23).abs().min() > 1
    assert all(others % n_steps != 23 % n_steps)


@pytest.mark.parametrize("n_rows", [4, 5, 6, 7, 12])
def test_no_row_is_in_a_pack_twice(n_rows):
    discriminator = discriminator_of(packing=4)
    rows = some(1, n_rows, SIZE).requires_grad_()
    worth = discriminator.judge_rows(rows, some(1, ENCODING))
    (by_row,) = torch.autograd.grad(worth[0, 0], [rows])
    assert (by_row[0].abs().sum(-1) > 0).sum() == min(n_rows, 7)


def test_rows_alone_are_worth_their_logits():
    discriminator = discriminator_of()
    rows, encoding = some(2, 5, SIZE), some(2, ENCODING)
    torch.testing.assert_close(
        discriminator.judge_rows(rows, encoding), discriminator(rows, encoding).logits
    )


@pytest.mark.parametrize("method", ["forward", "judge_rows"])
def test_fewer_rows_than_a_pack_and_rows_of_another_width_are_refused(method):
    judge, encoding = getattr(discriminator_of(packing=4), method), some(2, ENCODING)
    with pytest.raises(ValueError, match=r"3 rows per task .*discriminator\.packing = 4"):
        judge(some(2, 3, SIZE), encoding)
    judge = getattr(discriminator_of(window_steps=2), method)
    with pytest.raises(ValueError, match=f"width {SIZE};.* rows of {2 * SIZE}.*window_steps"):
        judge(some(2, 3, SIZE), encoding)


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_spectral_norm_bounds_every_layer_however_long_it_trains(spectral_norm):
    discriminator = discriminator_of(spectral_norm=spectral_norm)
    optimiser = torch.optim.Adam(discriminator.parameters(), lr=0.05)
    rows, encoding = some(4, 16, SIZE), some(4, ENCODING)
    for _ in range(100):
        optimiser.zero_grad()
        nn.functional.softplus(
            -discriminator(rows, encoding).logits * rows[..., 0]
        ).mean().backward()
        optimiser.step()
    norms = [torch.linalg.matrix_norm(layer.weight, 2).item() for layer in linears(discriminator)]
    assert len(norms) == 3
    assert all(math.isfinite(norm) for norm in norms)
    assert (max(norms) < 1.05) == spectral_norm

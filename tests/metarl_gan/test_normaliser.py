import pytest
import torch

from metarl_gan.normaliser import MEMORY_ROWS, MIN_STD, RunningNormaliser
from tests.agents.toys import stream


def rows(n, seed=0, *, mean=0.0, std=1.0):
    return mean + std * torch.randn(n, 3, generator=stream(seed))


def test_merged_batches_have_the_statistics_of_all_rows():
    normaliser = RunningNormaliser(3)
    batches = [rows(n, n, mean=n, std=n / 2) for n in (1, 7, 100, 3)]
    for batch in batches:
        normaliser.update(batch)
    together = torch.cat(batches)
    torch.testing.assert_close(normaliser.mean, together.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(normaliser.variance, together.var(0, unbiased=False))
    assert normaliser.count == 111


def test_two_batches_by_hand():
    normaliser = RunningNormaliser(1)
    normaliser.update(torch.tensor([[1.0], [3.0]]))
    assert (normaliser.mean.item(), normaliser.variance.item()) == (2.0, 1.0)
    normaliser.update(torch.tensor([[8.0]]))
    # 1, 3, 8: mean 4, squares 9 + 1 + 16.
    assert normaliser.mean.item() == pytest.approx(4.0)
    assert normaliser.variance.item() == pytest.approx(26 / 3)
    assert normaliser.normalise(torch.tensor([4.0])).item() == pytest.approx(0.0, abs=1e-6)


def test_normalising_is_inverted_and_gives_unit_scale():
    normaliser = RunningNormaliser(3)
    seen = rows(1000, mean=5.0, std=20.0)
    normaliser.update(seen)
    normalised = normaliser.normalise(seen)
    torch.testing.assert_close(normalised.std(0), torch.ones(3), rtol=1e-3, atol=0.0)
    torch.testing.assert_close(normaliser.denormalise(normalised), seen, rtol=1e-4, atol=1e-4)


def test_nothing_seen_and_nothing_new_change_nothing():
    normaliser = RunningNormaliser(3)
    torch.testing.assert_close(normaliser.normalise(rows(4)), rows(4))
    normaliser.update(rows(10))
    before = {name: value.clone() for name, value in normaliser.state_dict().items()}
    normaliser.update(rows(0))
    for name, value in normaliser.state_dict().items():
        assert torch.equal(value, before[name])
    assert set(before) == {"count", "mean", "variance"}


def test_a_constant_component_stays_finite():
    normaliser = RunningNormaliser(3)
    normaliser.update(torch.full((10, 3), 4.0))
    assert normaliser.std.tolist() == pytest.approx([MIN_STD] * 3)
    assert torch.isfinite(normaliser.normalise(rows(4))).all()


def test_old_rows_fade_beyond_the_memory():
    normaliser = RunningNormaliser(3)
    half = MEMORY_ROWS // 2
    normaliser.update(rows(half, 0, mean=100.0))
    normaliser.update(rows(half, 1))
    torch.testing.assert_close(normaliser.mean, torch.full((3,), 50.0), rtol=0.01, atol=0.0)
    for seed in range(2, 12):
        normaliser.update(rows(half, seed))
    # Each of the ten halved what came before: 50 / 1024.
    assert normaliser.count == MEMORY_ROWS
    assert normaliser.mean.abs().max() < 0.1
    torch.testing.assert_close(normaliser.std, torch.full((3,), 2.0), rtol=0.3, atol=0.0)

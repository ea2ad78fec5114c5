"""Gaussian networks: likelihoods by hand, samples that scatter as they say, bounds."""

import math

import pytest
import torch

from metarl_gan.generators.gaussian_generator import BOUNDS_WEIGHT, FLOOR, GaussianGenerator
from tests.metarl_gan.generators import toys


def softplus(x):
    return math.log1p(math.exp(x))


def bounded(raw, largest, smallest):
    below = largest - softplus(largest - raw)
    return smallest + softplus(below - smallest)


def constant():
    """Says the same of every row: means (0.3, -0.2), log-variances (-1, 0.4), logit 0.7; of the
    reward, mean 0.5 and log-variance -2. All log-variances are before their bounds."""
    generator = toys.make("gaussian", hidden_sizes=())
    assert isinstance(generator, GaussianGenerator)
    with torch.no_grad():
        for name, value in generator.named_parameters():
            if "weight" in name:
                value.zero_()
        generator.dynamics["bias_0"][0] = torch.tensor([0.3, -0.2, -1.0, 0.4, 0.7])
        generator.reward["bias_0"][0] = torch.tensor([0.5, -2.0])
        generator.dynamics_bounds["max"][0] = torch.tensor([0.5, 1.0])
        generator.dynamics_bounds["min"][0] = torch.tensor([-3.0, -2.0])
    return generator


LOG_VARIANCES = (bounded(-1.0, 0.5, -3.0), bounded(0.4, 1.0, -2.0))
REWARD_LOG_VARIANCE = bounded(-2.0, 0.5, -6.0)


def test_losses_by_hand():
    generator, rows = constant(), toys.random_rows(1, 4)
    encoding = torch.zeros(1, 4, toys.ENCODING)
    found = generator.losses(generator.weights(), rows, encoding, None)
    for row in range(4):
        first, second = rows.changes[0, row].tolist()
        apart = [
            0.5 * ((x - mean) ** 2 / math.exp(log_variance) + log_variance)
            for x, mean, log_variance in zip(
                (first, second), (0.3, -0.2), LOG_VARIANCES, strict=True
            )
        ]
        looseness = BOUNDS_WEIGHT * ((0.5 + 3.0) + (1.0 + 2.0)) / 2
        assert found.state[0, row].item() == pytest.approx(sum(apart) / 2 + looseness, rel=1e-5)
        missed = (rows.rewards[0, row].item() - 0.5) ** 2
        nll = 0.5 * (missed / math.exp(REWARD_LOG_VARIANCE) + REWARD_LOG_VARIANCE)
        expected = nll + BOUNDS_WEIGHT * 6.5
        assert found.reward[0, row].item() == pytest.approx(expected, rel=1e-5)
        ended = rows.terminated[0, row].item()
        probability = 1.0 / (1.0 + math.exp(-0.7))
        expected = -math.log(probability if ended else 1.0 - probability)
        assert found.terminated[0, row].item() == pytest.approx(expected, rel=1e-5)


def test_samples_scatter_as_the_heads_say():
    generator, rows = constant(), toys.random_rows(1, 20_000)
    noise = toys.noise_for(generator, 1, 20_000)
    encoding = torch.zeros(1, 20_000, toys.ENCODING)
    with torch.no_grad():
        found = toys.generate(generator, generator.weights(), rows, encoding, noise)
    stds = [math.exp(0.5 * log_variance) for log_variance in LOG_VARIANCES]
    assert found.changes[0].mean(0).tolist() == pytest.approx([0.3, -0.2], abs=0.03)
    assert found.changes[0].std(0).tolist() == pytest.approx(stds, rel=0.03)
    assert found.rewards.mean().item() == pytest.approx(0.5, abs=0.03)
    expected = math.exp(0.5 * REWARD_LOG_VARIANCE)
    assert found.rewards.std().item() == pytest.approx(expected, rel=0.03)
    # Each number has noise of its own.
    everything = torch.cat([found.changes[0], found.rewards[0]], dim=-1)
    assert (torch.corrcoef(everything.T) - torch.eye(3)).abs().max() < 0.03
    assert found.terminated_logits.flatten().tolist() == pytest.approx([0.7] * 20_000)


def test_without_noise_means_are_generated():
    generator, rows = constant(), toys.random_rows(1, 3)
    encoding, noise = torch.zeros(1, 3, toys.ENCODING), torch.zeros(1, 3, 3)
    found = toys.generate(generator, generator.weights(), rows, encoding, noise)
    torch.testing.assert_close(found.changes[0], torch.tensor([[0.3, -0.2]] * 3))
    torch.testing.assert_close(found.rewards[0], torch.tensor([[0.5]] * 3))


@pytest.mark.parametrize(
    ("raw", "smallest", "expected"), [(50.0, -3.0, 0.5), (-50.0, -3.0, -3.0), (-50.0, -40.0, FLOOR)]
)
def test_log_variances_stay_within_their_bounds(raw, smallest, expected):
    generator = constant()
    with torch.no_grad():
        generator.reward["bias_0"][0, 1] = raw
        generator.reward_bounds["min"].fill_(smallest)
    rows, encoding = toys.random_rows(1, 1), torch.zeros(1, 1, toys.ENCODING)
    mean, sample = (
        generator.rewards(
            generator.weights(),
            rows.states,
            rows.actions,
            rows.changes,
            encoding,
            torch.full((1, 1, 1), noise),
        )
        for noise in (0.0, 1.0)
    )
    log_variance = 2.0 * math.log((sample - mean).item())
    assert log_variance == pytest.approx(expected, abs=0.05)


def test_a_fit_tells_how_outcomes_scatter():
    for encoding in (-1.0, 1.0):
        changes = toys.samples(toys.fitted("gaussian"), -1.0, encoding).changes
        assert changes.mean().item() == pytest.approx(0.5 * encoding, abs=0.1)
        assert changes.std().item() == pytest.approx(toys.SCATTER, rel=0.2)


def test_two_modes_become_one_broad_one():
    changes = toys.samples(toys.fitted("gaussian"), 1.0, 0.0).changes
    assert changes.std().item() == pytest.approx(1.0, abs=0.15)
    # 38 % of a standard normal, where there are no outcomes at all.
    assert (changes.abs() < 0.5).float().mean().item() == pytest.approx(0.38, abs=0.07)

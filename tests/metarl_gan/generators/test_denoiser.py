"""Denoising by hand, where the best denoiser is known."""

import pytest
import torch

from metarl_gan.generators.denoiser import Denoiser, denoiser_perceptrons, sampling_levels
from tests.agents.toys import stream


def silent(size=2):
    """The best denoiser of standard normal data: its network has nothing to add."""
    weights = {f"it.{n}": v * 0 for n, v in denoiser_perceptrons(1, size, 1, (4,)).items()}
    return Denoiser(weights, "it", torch.zeros(1, 1000, 1))


def normals(size, seed=0):
    return torch.randn(1, 1000, size, generator=stream(seed))


def test_levels_fall_evenly_from_the_largest_and_then_to_none():
    assert sampling_levels(1) == pytest.approx((10.0, 0.0))
    assert sampling_levels(2) == pytest.approx((10.0, 0.05, 0.0))
    assert sampling_levels(3) == pytest.approx((10.0, 0.5**0.5, 0.05, 0.0))
    assert len(sampling_levels(8)) == 9


def test_a_silent_network_shrinks_by_the_share_of_noise():
    noisy = normals(2)
    for level in (0.1, 1.0, 3.0):
        torch.testing.assert_close(silent().denoise(noisy, level), noisy / (1.0 + level**2))


def test_the_flow_to_standard_normal_data_is_nearly_the_identity():
    """By the exact flow, x = z · 10 / √101 (EDM, equation 1, with its solution for a Gaussian)."""
    noise = normals(2)
    exact = noise * 10.0 / 101.0**0.5
    errors = [
        ((silent().sample(noise, sampling_levels(n)) - exact).square().mean().sqrt()).item()
        for n in (4, 8, 32)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.03


def test_one_step_is_the_denoised_noise():
    noise = normals(2)
    found = silent().sample(noise, sampling_levels(1))
    torch.testing.assert_close(found, noise * 10.0 / 101.0)


def test_steps_extrapolate_what_the_previous_one_found():
    """Three steps by hand: from level 4 to 2, to 1, to 0."""
    noise = normals(1)
    at_4 = noise * 4.0
    denoised_4 = at_4 / 17.0
    at_2 = denoised_4 + (at_4 - denoised_4) / 2.0
    denoised_2 = at_2 / 5.0
    goal = denoised_2 + 0.5 * (denoised_2 - denoised_4)
    at_1 = goal + (at_2 - goal) / 2.0
    found = silent(1).sample(noise, (4.0, 2.0, 1.0, 0.0))
    torch.testing.assert_close(found, at_1 / 2.0)


def test_a_silent_network_costs_about_one():
    """That is what EDM's weights are for: each level costs the same at first."""
    loss = silent().loss(normals(2), normals(3, seed=1))
    assert loss.shape == (1, 1000)
    assert loss.mean().item() == pytest.approx(1.0, abs=0.08)


def test_the_network_takes_conditions_and_level():
    torch.manual_seed(0)
    weights = {f"it.{n}": v for n, v in denoiser_perceptrons(1, 1, 2, (4,)).items()}
    conditions, noisy, level = normals(2), normals(1, seed=1), 0.5
    scale = 1.25**-0.5
    level_column = torch.full_like(noisy, torch.tensor(level).log().item() / 4.0)
    inputs = torch.cat([noisy * scale, level_column, conditions], dim=-1)
    hidden = torch.nn.functional.silu(inputs @ weights["it.weight_0"] + weights["it.bias_0"])
    outputs = hidden @ weights["it.weight_1"] + weights["it.bias_1"]
    expected = noisy / 1.25 + level * scale * outputs
    torch.testing.assert_close(Denoiser(weights, "it", conditions).denoise(noisy, level), expected)

"""The diffusion generator: known targets reproduced, and fixed losses without a stream."""

from itertools import product

import pytest
import torch

from metarl_gan.generators.denoiser import MEAN_LOG_LEVEL, STD_LOG_LEVEL, Denoiser
from metarl_gan.generators.diffusion_generator import FIXED_ROWS, DiffusionGenerator, fixed_places
from tests.agents.toys import stream
from tests.metarl_gan.generators import toys


def diffusion(**sizes):
    generator = toys.make("diffusion", **sizes)
    assert isinstance(generator, DiffusionGenerator)
    return generator


def test_a_gaussian_target_is_reproduced():
    generator, std = toys.fitted("diffusion"), toys.SCATTER
    for encoding in (-1.0, 1.0):
        changes = toys.samples(generator, -1.0, encoding).changes
        assert changes.mean().item() == pytest.approx(0.5 * encoding, abs=0.1)
        assert changes.std().item() == pytest.approx(std, rel=0.2)
    # What the best denoiser says of N(m, s²): (s² x + level² m) / (s² + level²).
    noisy = torch.linspace(-0.5, 1.5, 6).reshape(1, 6, 1)
    conditions = torch.tensor([-1.0, 0.0, 1.0]).expand(1, 6, 3)
    denoiser = Denoiser(generator.weights(), "dynamics", conditions)
    for level in (0.15, 0.3, 0.6):
        best = (std**2 * noisy + level**2 * 0.5) / (std**2 + level**2)
        found = denoiser.denoise(noisy, level)
        assert (found - best).square().mean().sqrt() < 0.1


def test_both_of_two_modes_are_covered():
    generated = toys.samples(toys.fitted("diffusion"), 1.0, 0.5)
    changes = generated.changes
    assert (changes > 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert (changes.abs() < 0.5).float().mean() < 0.06
    assert (changes.abs() - 1.0).abs().mean() < 0.15
    # Reward and termination are those of the outcome that was generated.
    assert (generated.rewards - (changes + 0.5) / 1.5).square().mean() < 0.02
    clear = changes.abs() > 0.5
    assert torch.equal(generated.terminated_logits[clear] > 0, changes[clear] > 0)


def test_losses_without_a_stream_are_those_of_the_fixed_levels_and_noises():
    generator, rows = diffusion(), toys.random_rows(2, 5)
    encoding = torch.randn(2, 5, toys.ENCODING, generator=stream(3))
    weights = {n: v.repeat(2, *[1] * (v.ndim - 1)) for n, v in generator.weights().items()}
    found = generator.losses(weights, rows, encoding, None)
    given = torch.cat([rows.states, rows.actions, encoding], dim=-1)
    dynamics = Denoiser(weights, "dynamics", given)
    reward = Denoiser(weights, "reward", torch.cat([given, rows.changes], dim=-1))
    held = torch.cat([rows.states, rows.actions, rows.changes, rows.rewards], dim=-1)
    places = fixed_places(held)
    assert len(set(places.flatten().tolist())) == 10
    for batch, row in product(range(2), range(5)):
        place = places[batch, row]
        for denoiser, normals, data, loss in (
            (dynamics, generator.fixed_dynamics[place], rows.changes, found.state),
            (reward, generator.fixed_reward[place], rows.rewards, found.reward),
        ):
            level = float(torch.exp(MEAN_LOG_LEVEL + STD_LOG_LEVEL * normals[0]))
            denoised = denoiser.denoise(data + level * normals[1:], level)
            squared = (denoised - data)[batch, row].square().mean(-1)
            # EDM's weight, for data with standard deviation 1.
            expected = squared * (1.0 + level**2) / level**2
            torch.testing.assert_close(loss[batch, row], expected, rtol=1e-4, atol=1e-5)


def test_fixed_levels_are_spread_evenly_over_however_few_rows():
    generator = diffusion()
    for fixed in (generator.fixed_dynamics, generator.fixed_reward):
        assert fixed.isfinite().all()
        for n_rows in (8, 64):
            shares = torch.special.ndtr(fixed[:n_rows].double())
            for column in shares.T:
                assert sorted((column * n_rows).long().tolist()) == list(range(n_rows))
        assert (torch.corrcoef(fixed[:64].T) - torch.eye(fixed.shape[-1])).abs().max() < 0.2


def test_what_a_row_gets_depends_on_the_row_alone():
    held = torch.randn(3, 40, 6, generator=stream(4))
    places = fixed_places(held)
    order = torch.randperm(40, generator=stream(5))
    assert torch.equal(fixed_places(held[:, order]), places[:, order])
    assert torch.equal(fixed_places(held[1:2, :7]), places[1:2, :7])
    assert places.min() >= 0
    # All of them come up, about equally often.
    many = fixed_places(torch.randn(64 * FIXED_ROWS, 6, generator=stream(6)))
    counts = torch.bincount(many, minlength=FIXED_ROWS).float()
    assert counts.min() > 20
    assert counts.max() < 130


def test_weights_hold_nothing_but_networks():
    generator = diffusion()
    assert set(generator.state_dict()) == set(generator.weights())
    assert {name.split(".")[0] for name in generator.weights()} == {
        "dynamics",
        "reward",
        "termination",
    }
    twin = diffusion()
    assert torch.equal(generator.fixed_dynamics, twin.fixed_dynamics)


def test_more_steps_come_nearer_to_the_flow():
    """The error of few steps against many, from the same noise."""
    state, found = toys.fitted("diffusion").state_dict(), {}
    for steps in (2, 8, 16, 128):
        generator = toys.make(
            "diffusion", states=1, encoding=1, hidden_sizes=(32, 32), diffusion_steps=steps
        )
        generator.load_state_dict(state)
        found[steps] = toys.samples(generator, -1.0, 0.0, n_samples=200).changes
    errors = [(found[n] - found[128]).abs().mean().item() for n in (2, 8, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.05

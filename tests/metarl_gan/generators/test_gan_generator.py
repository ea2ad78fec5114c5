"""The anchor of the GAN's generator: one draw as it is, several by their energy score."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from metarl_gan.generator_config import GeneratorConfig
from metarl_gan.generators.energy_score import energy_score
from metarl_gan.generators.gan_generator import REWARD_BETA, STATE_BETA, GanGenerator
from tests.agents.toys import stream
from tests.metarl_gan.generators import toys

N_ROWS = 6


def passes_noise_on(anchor_samples):
    """Without hidden layers: change = z + 0.1, logit = 2 z, reward = 3 change + 0.2."""
    config = GeneratorConfig(hidden_sizes=(), noise_size=1)
    generator = GanGenerator(toys.space(states=1), 1, config, anchor_samples)
    with torch.no_grad():
        for value in generator.parameters():
            value.zero_()
        # Inputs: state, action, encoding, z.
        generator.dynamics["weight_0"][0, 3] = torch.tensor([1.0, 2.0])
        generator.dynamics["bias_0"][0, 0] = 0.1
        # Inputs: state, action, change, encoding.
        generator.reward["weight_0"][0, 2, 0] = 3.0
        generator.reward["bias_0"][0, 0] = 0.2
    return generator


def losses(anchor_samples, rng):
    generator = passes_noise_on(anchor_samples)
    rows = toys.random_rows(1, N_ROWS, states=1)
    return rows, generator.losses(generator.weights(), rows, torch.zeros(1, N_ROWS, 1), rng)


def expected_at(rows, noise):
    """Losses of state and termination `[N_ROWS]` if z is `noise [N_ROWS]`."""
    changes, ended = rows.changes.flatten(), rows.terminated.flatten()
    state = smooth_l1_loss(noise + 0.1, changes, beta=STATE_BETA, reduction="none")
    return state, binary_cross_entropy_with_logits(2.0 * noise, ended, reduction="none")


def expected_of(rows, noise):
    """Losses of state and termination `[N_ROWS]` of several draws z `[draws, N_ROWS]`."""
    score = energy_score((noise + 0.1)[None, ..., None], rows.changes)[0]
    return score, torch.stack([expected_at(rows, z)[1] for z in noise]).mean(0)


def test_without_a_stream_one_draw_is_zero_and_several_are_the_same_for_all_rows():
    rows, found = losses(1, None)
    state, terminated = expected_at(rows, torch.zeros(N_ROWS))
    torch.testing.assert_close(found.state[0], state)
    torch.testing.assert_close(found.terminated[0], terminated)
    rows, found = losses(4, None)
    noise = passes_noise_on(4).fixed_noise
    quantiles = torch.tensor([0.125, 0.625, 0.875, 0.375])
    expected = torch.distributions.Normal(0.0, 1.0).icdf(quantiles)
    torch.testing.assert_close(noise.flatten().sort().values, expected.sort().values)
    state, terminated = expected_of(rows, noise.expand(4, N_ROWS))
    torch.testing.assert_close(found.state[0], state)
    torch.testing.assert_close(found.terminated[0], terminated)


def test_one_draw_is_anchored_as_it_is():
    rows, found = losses(1, stream(5))
    noise = torch.randn(1, 1, N_ROWS, 1, generator=stream(5)).flatten()
    state, terminated = expected_at(rows, noise)
    torch.testing.assert_close(found.state[0], state)
    torch.testing.assert_close(found.terminated[0], terminated)


def test_several_draws_cost_their_energy_score():
    rows, found = losses(4, stream(5))
    noise = torch.randn(1, 4, N_ROWS, 1, generator=stream(5))[0, :, :, 0]
    state, terminated = expected_of(rows, noise)
    torch.testing.assert_close(found.state[0], state)
    torch.testing.assert_close(found.terminated[0], terminated)


def test_the_reward_is_asked_about_the_real_change():
    rows, found = losses(4, stream(5))
    expected = smooth_l1_loss(
        3.0 * rows.changes + 0.2, rows.rewards, beta=REWARD_BETA, reduction="none"
    )
    torch.testing.assert_close(found.reward, expected.squeeze(-1))


def test_losses_of_the_state_are_means_over_components():
    generator = toys.make("gan")
    rows, encoding = toys.random_rows(1, N_ROWS), torch.zeros(1, N_ROWS, toys.ENCODING)
    found = generator.losses(generator.weights(), rows, encoding, None).state
    noise = torch.zeros(1, N_ROWS, generator.noise_size)
    changes = toys.generate(generator, generator.weights(), rows, encoding, noise).changes
    apart = [
        smooth_l1_loss(changes[..., i], rows.changes[..., i], beta=STATE_BETA, reduction="none")
        for i in range(toys.STATES)
    ]
    torch.testing.assert_close(found, sum(apart) / toys.STATES)


def test_without_noise_it_is_a_function_of_its_inputs():
    generator = toys.make("gan", noise_size=0)
    rows, encoding = toys.random_rows(1, N_ROWS), torch.zeros(1, N_ROWS, toys.ENCODING)
    first, second = (
        generator.losses(generator.weights(), rows, encoding, rng).state
        for rng in (stream(1), None)
    )
    assert torch.equal(first, second)
    assert generator.noise_size == 0


def test_several_draws_keep_outcomes_apart_that_one_pulls_to_their_mean():
    config = GeneratorConfig(hidden_sizes=(32, 32))
    torch.manual_seed(0)
    several = GanGenerator(toys.space(states=1), 1, config, anchor_samples=8)
    toys.train(several, updates=200)
    apart, pulled = (toys.samples(g, 1.0, 0.0).changes for g in (several, toys.fitted("gan")))
    assert pulled.abs().mean() < 0.3
    assert apart.abs().mean() > 0.6
    assert 0.4 < (apart > 0).float().mean() < 0.6

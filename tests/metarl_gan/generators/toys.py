"""Small generators, and rows of a made-up world to train them on."""

from functools import cache

import numpy as np
import torch
from gymnasium import spaces

from metarl_gan.generator import Generator
from metarl_gan.generator_config import GeneratorConfig
from metarl_gan.generators.diffusion_generator import DiffusionGenerator
from metarl_gan.generators.gan_generator import GanGenerator
from metarl_gan.generators.gaussian_generator import GaussianGenerator
from metarl_gan.transition_space import Rows, TransitionSpace
from tests.agents.toys import stream

KINDS = {"gan": GanGenerator, "gaussian": GaussianGenerator, "diffusion": DiffusionGenerator}
STATES, ACTIONS, ENCODING = 2, 1, 3
SCATTER = 0.4


def space(states=STATES, actions=ACTIONS):
    box = spaces.Box(-np.inf, np.inf, (states,), np.float32)
    return TransitionSpace(box, spaces.Box(-1.0, 1.0, (actions,), np.float32), residual=True)


def make(kind, *, states=STATES, encoding=ENCODING, hidden_sizes=(8, 8), **settings) -> Generator:
    torch.manual_seed(0)
    config = GeneratorConfig(hidden_sizes=hidden_sizes, **settings)
    return KINDS[kind](space(states), encoding, config)


def random_rows(batch, n_rows, *, states=STATES, dtype=torch.float32, seed=1):
    """Rows `[batch, n_rows]` without any law."""
    rng = stream(seed)

    def normal(size):
        return torch.randn(batch, n_rows, size, generator=rng, dtype=dtype)

    return Rows(
        states=normal(states),
        actions=normal(ACTIONS),
        changes=normal(states),
        rewards=normal(1),
        terminated=(normal(1) > 0).to(dtype),
        valid=torch.ones(batch, n_rows, dtype=torch.bool),
    )


def noise_for(generator, batch, n_rows, *, seed=2, dtype=torch.float32):
    size = generator.noise_size + generator.reward_noise_size
    return torch.randn(batch, n_rows, size, generator=stream(seed), dtype=dtype)


def generate(generator, weights, rows, encoding, noise):
    return generator.generate(weights, rows.states, rows.actions, encoding, noise)


def outcomes(states, encoding, rng):
    """Changes: for negative states around half the encoding, for the others -1 or 1."""
    scattered = 0.5 * encoding + SCATTER * torch.randn(states.shape, generator=rng)
    either = torch.randint(0, 2, states.shape, generator=rng) * 2.0 - 1.0
    return torch.where(states < 0, scattered, either)


def world(n_rows, rng, encoding=None):
    """Rows `[1, n_rows]` of states of one number, and their encodings of one number.

    The reward is a function of change and encoding, and an episode ends after a change above 0.
    """
    states, actions, drawn = torch.randn(3, 1, n_rows, 1, generator=rng)
    encoding = drawn if encoding is None else torch.full_like(drawn, encoding)
    changes = outcomes(states, encoding, rng)
    rows = Rows(
        states=states,
        actions=actions,
        changes=changes,
        rewards=(changes + encoding) / 1.5,
        terminated=(changes > 0).float(),
        valid=torch.ones(1, n_rows, dtype=torch.bool),
    )
    return rows, encoding


@cache
def fitted(kind):
    """A generator of that world, trained for seconds; not to be changed."""
    generator = make(kind, states=1, encoding=1, hidden_sizes=(32, 32))
    train(generator, updates=500)
    return generator.requires_grad_(False)


def train(generator, *, updates):
    optimiser = torch.optim.Adam(generator.parameters(), lr=1e-2, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, updates)
    rng = stream(4)
    for _ in range(updates):
        losses = generator.losses(generator.weights(), *world(256, rng), rng)
        loss = losses.state.mean() + losses.reward.mean() + losses.terminated.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def samples(generator, state, encoding, n_samples=4000):
    """What it generates from one state, with one encoding: `Generated [1, n_samples]`."""
    rows = random_rows(1, n_samples, states=1)
    at = torch.full((1, n_samples, 1), float(state))
    noise = noise_for(generator, 1, n_samples)
    weights, encoding = generator.weights(), torch.full_like(at, float(encoding))
    return generator.generate(weights, at, rows.actions, encoding, noise)

"""The generator that a config names."""

from metarl_gan.config import Config
from metarl_gan.generator import Generator
from metarl_gan.generators.diffusion_generator import DiffusionGenerator
from metarl_gan.generators.gan_generator import GanGenerator
from metarl_gan.generators.gaussian_generator import GaussianGenerator
from metarl_gan.transition_space import TransitionSpace


def make_generator(space: TransitionSpace, config: Config) -> Generator:
    """Fresh networks of `generator.kind`, drawn from torch's global generator."""
    size, settings = config.encoder.encoding_size, config.generator
    if settings.kind == "ensemble":
        return GaussianGenerator(space, size, settings)
    if settings.kind == "diffusion":
        return DiffusionGenerator(space, size, settings)
    return GanGenerator(space, size, settings, config.adversarial.anchor_samples)

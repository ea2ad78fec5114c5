"""What imagining in bfloat16 does to rollouts, and to the inner gradient from them."""

import torch
from torch import Tensor

from metarl_gan.agents.collector import collect
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policy_gradient import MixedRows, policy_gradient
from metarl_gan.bench_cases import fresh_components
from metarl_gan.bench_timing import Spread
from metarl_gan.components import Components
from metarl_gan.config import Config
from metarl_gan.dreams import policy_rows
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.generator_learner import AdversarialLearner
from metarl_gan.gradient_cosines import own_cosines
from metarl_gan.imagination import imagine
from metarl_gan.streams import Streams

EPISODES = 2
"""Per task to learn from: context and targets are of different ones."""


def compare_precisions(
    family: TaskFamily, config: Config, *, n_tasks: int = 16, n_rollouts: int = 40
) -> dict[str, Spread]:
    """Hold imagination in bfloat16 against that in float32 on the same noise, by a learnt GAN.

    It learns from two episodes of each of `n_tasks` by a fresh policy, for as many updates as
    the first iteration of `config` has. Cosines are between inner gradients of that policy,
    over tasks; beside them, those of float32 under other noise. Differences are root mean squares
    over components, in standard deviations of real ones, over rollouts.
    """
    components = fresh_components(family, config)
    parameters = components.meta_learner.initial_policy(n_tasks)
    gan, context = _learnt(components, family, parameters)
    n_steps = min(config.augmentation.rollout_steps or family.horizon, family.horizon)
    starts = gan.space.draw_starts((n_tasks, n_rollouts), torch.Generator().manual_seed(0))

    def dream(seed: int, dtype: torch.dtype) -> Transitions:
        stream = torch.Generator().manual_seed(seed)
        policy = components.policy
        return imagine(gan, context, policy, parameters, starts, n_steps, stream, dtype)

    exact, other = (dream(seed, torch.float32) for seed in (1, 2))
    coarse = dream(1, torch.bfloat16)
    gradient, *others = (
        _inner_gradient(components, parameters, part) for part in (exact, coarse, other)
    )
    cosines = [Spread.of(own_cosines(one, gradient).numpy()) for one in others]
    return {
        "cosine of inner gradients, bfloat16 to float32": cosines[0],
        "cosine of inner gradients, float32 under other noise": cosines[1],
        "difference of states after 1 step": _state_difference(gan, coarse, exact, 1),
        f"difference of states after {n_steps} steps": _state_difference(
            gan, coarse, exact, n_steps
        ),
        "difference of rewards": Spread.of(
            ((coarse.rewards - exact.rewards) / gan.space.reward.std)
            .square()
            .mean(-1)
            .sqrt()
            .numpy()
        ),
    }


def _learnt(
    components: Components, family: TaskFamily, parameters: Parameters
) -> tuple[ConditionalGAN, TaskContext]:
    """A GAN that has seen some episodes of tasks, and what it makes of one half of these."""
    gan, config = components.gan, components.config
    assert gan is not None  # no benchmark is of a config without
    n_tasks = len(next(iter(parameters.values())))
    tasks, pool = family.sample(n_tasks, split="train", seed=0), EnvironmentPool(family)
    streams = Streams(config.seed)
    acting = streams.torch("bench-policy")
    venv = pool.get(tasks, EPISODES)
    batch = collect(venv, components.policy, parameters, acting, seed=0).batch
    pool.close()
    AdversarialLearner(gan, config, streams).learn(tasks, [batch])
    return gan, gan.infer(batch, streams.torch("bench-context"))


def _inner_gradient(
    components: Components, parameters: Parameters, rollouts: Transitions
) -> Tensor:
    """`[tasks, parameters]`."""
    learner = components.config.learner
    rows = MixedRows(real=policy_rows(rollouts, learner))
    by_name = policy_gradient(components.policy, parameters, rows, learner.inner_clip)
    return torch.cat([value.detach().flatten(1) for value in by_name.values()], dim=1)


def _state_difference(
    gan: ConditionalGAN, first: Transitions, second: Transitions, n_steps: int
) -> Spread:
    at = n_steps - 1
    apart = first.next_observations[:, :, at] - second.next_observations[:, :, at]
    return Spread.of((apart / gan.space.state.std).square().mean(-1).sqrt().numpy())

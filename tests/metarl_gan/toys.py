"""Small GANs, and real transitions of point-goal to train them on."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from metarl_gan.agents.collector import collect
from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.config import (
    AdversarialConfig,
    Config,
    DiscriminatorConfig,
    EncoderConfig,
    GeneratorConfig,
)
from metarl_gan.envs import make_family
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.generator_learner import AdversarialLearner
from metarl_gan.held_out_errors import HeldOutErrors
from metarl_gan.streams import Streams
from tests.agents.toys import stream

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = spaces.Box(np.array([-2, 0], np.float32), np.array([2, 4], np.float32))
CHOICE = spaces.Discrete(4, start=2)


SMALL = Config(
    encoder=EncoderConfig(encoding_size=3, min_context=3, hidden_sizes=(16,)),
    generator=GeneratorConfig(hidden_sizes=(16,)),
    discriminator=DiscriminatorConfig(hidden_sizes=(16,)),
    adversarial=AdversarialConfig(
        tasks_per_update=8,
        targets_per_task=4,
        max_context=10,
        initial_updates=3,
        updates_per_iteration=2,
    ),
)


def small_config(**changes):
    """A config of small networks with some fields replaced: `generator={"noise_size": 0}`."""
    return replace_fields(SMALL, changes)


def replace_fields(config, changes):
    parts = {name: replace(getattr(config, name), **fields) for name, fields in changes.items()}
    return replace(config, **parts)


def linears(network: nn.Module) -> list[nn.Linear]:
    """The layers with weights, from input to output."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def layers(perceptrons: nn.Module | Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights `[members, in, out]` and biases `[members, out]`, from input to output."""
    assert isinstance(perceptrons, nn.ParameterDict)
    n_layers = len(perceptrons) // 2
    return [(perceptrons[f"weight_{i}"], perceptrons[f"bias_{i}"]) for i in range(n_layers)]


def some_tasks(*names: str) -> list[Task]:
    """Tasks by id, each with a descriptor of its own."""
    return [
        Task(family="toy", parameters={}, id=name, descriptor=np.array([ord(name[0]) / 100]))
        for name in names
    ]


def small_gan(config=None, *, observation_space=OBSERVATIONS, action_space=BOX, seed=0):
    torch.manual_seed(seed)
    return ConditionalGAN(observation_space, action_space, config or small_config())


def known(encoding: Tensor, weights: Parameters | None = None) -> TaskContext:
    """A context of given encodings `[tasks, size]`, and weights `[elites * tasks, ...]` if any."""
    zero = torch.zeros(len(encoding))
    errors = HeldOutErrors(next_state=zero, reward=zero, terminated=zero)
    return TaskContext(encoding=encoding, errors=errors, weights=weights)


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """Two batches `[tasks, 2, 100]` of the same point-goal tasks, by different policies.

    In each episode the policy drifts its own way, so that an episode sees little of the plane.
    """

    tasks: list[Task]
    batches: tuple[Transitions, Transitions]


@cache
def point_goal(n_tasks, split="train"):
    family = make_family("point-goal")
    tasks = family.sample(n_tasks, split=split, seed=3)
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=())
    rng, batches = stream(5), []
    for number in range(4):
        parameters = expand_over_tasks(policy.initial_parameters(stream()), n_tasks)
        parameters["bias_0"] = 0.15 * torch.randn(n_tasks, 2, generator=rng)
        venv = family.make_vec(tasks)
        batches.append(collect(venv, policy, parameters, rng, seed=number).batch)
    first, second = (Transitions.cat(batches[i : i + 2], dim="envs") for i in (0, 2))
    return Episodes(tasks=tasks, batches=(first, second))


def trained_gan(episodes, *, updates, seed=0, **changes):
    """A GAN of moderate size, trained on the episodes; `changes` of its config by part."""
    config = Config(
        encoder=EncoderConfig(hidden_sizes=(64, 64), encoding_size=4),
        generator=GeneratorConfig(hidden_sizes=(64, 64), noise_size=0),
        adversarial=AdversarialConfig(
            initial_updates=updates, adversarial_weight=0.0, tasks_per_update=64, ema_decay=0.98
        ),
    )
    config = replace_fields(config, changes)
    family = make_family("point-goal")
    torch.manual_seed(seed)
    gan = ConditionalGAN(family.observation_space, family.action_space, config)
    learner = AdversarialLearner(gan, config, Streams(seed))
    learner.learn(episodes.tasks, episodes.batches)
    return gan


@cache
def well_trained_gan():
    """Trained until held-out rewards are known, in a few seconds; not to be changed."""
    return trained_gan(point_goal(100), updates=300)

"""Agents and families that train in a moment: for what goes on around the learning."""

import hashlib
from pathlib import Path

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

import metarl_gan
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.components import Components
from metarl_gan.config import Config
from metarl_gan.config_io import override
from metarl_gan.envs import Choice, ParametricFamily, Uniform
from metarl_gan.evaluator import Evaluator
from metarl_gan.streams import Streams
from metarl_gan.trainer import Trainer

HORIZON = 6

TINY = {
    "family": "walk",
    "iterations": 2,
    "device": "cpu",
    "sampler.tasks_per_batch": 4,
    "sampler.query_episodes": 1,
    "sampler.validation_tasks": 2,
    "policy.hidden_sizes": (8,),
    "learner.inner_steps": 2,
    "learner.outer_epochs": 2,
    "encoder.encoding_size": 2,
    "encoder.hidden_sizes": (8,),
    "encoder.min_context": 2,
    "generator.hidden_sizes": (8,),
    "generator.inversion_steps": 2,
    "discriminator.hidden_sizes": (8,),
    "adversarial.initial_updates": 2,
    "adversarial.updates_per_iteration": 2,
    "adversarial.tasks_per_update": 4,
    "adversarial.targets_per_task": 4,
    "adversarial.max_context": 6,
    "adversarial.replay_tasks": 6,
    # A generator this small and this new would be gated off.
    "augmentation.mode": "fixed",
    "augmentation.share": 0.5,
    "augmentation.rollouts_per_task": 2,
    "augmentation.rollout_steps": 4,
    "logging.validate_every": 2,
    "logging.tensorboard": False,
}


class Walk(gymnasium.Env):
    """A point on a line walks to `goal`; it falls off the line at 2. Counts its steps.

    `fault` 1: the reward is NaN from the third step of an episode on.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    total_steps = 0

    def __init__(self, goal, fault=0):
        self.goal, self.fault = goal, fault
        self.closed = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.time = float(self.np_random.uniform(-0.1, 0.1)), 0
        return self._observation(), {}

    def step(self, action):
        type(self).total_steps += 1
        self.x += float(action[0])
        self.time += 1
        reward = -abs(self.x - self.goal)
        if self.fault == 1 and self.time > 2:
            reward = np.nan
        return self._observation(), reward, abs(self.x) > 2.0, False, {}

    def close(self):
        self.closed = True

    def _observation(self):
        return np.array([self.x, self.time / 10], np.float32)


class Steer(Walk):
    """The same with three actions: left, stay, right."""

    action_space = spaces.Discrete(3)
    total_steps = 0

    def step(self, action):
        return super().step([int(action) - 1.0])


def walk():
    return ParametricFamily(Walk, {"goal": Uniform(-1.0, 1.0)}, horizon=HORIZON, name="walk")


def steer():
    return ParametricFamily(Steer, {"goal": Uniform(-1.0, 1.0)}, horizon=HORIZON, name="steer")


def faulty(faults=(0, 1, 2)):
    """Walks of which those with fault 1 break: one in three unless said otherwise."""
    parameters = {"goal": Uniform(-1.0, 1.0), "fault": Choice(list(faults))}
    return ParametricFamily(Walk, parameters, horizon=HORIZON, name="faulty", splits=("train",))


def tiny_config(**changes):
    """A config of the smallest networks; `changes` by dotted name, with `__` for the dot."""
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    return override(Config(), {**TINY, **changes})


def tiny_components(family=None, **changes):
    family = family or walk()
    descriptor_size = len(family.sample(1, split="train", seed=0)[0].descriptor)
    spaces_of = (family.observation_space, family.action_space, family.horizon)
    return Components.build(
        tiny_config(family=family.name, **changes), *spaces_of, descriptor_size=descriptor_size
    )


def trained_components(family=None, *, iterations=2, **changes):
    family = family or walk()
    trainer = Trainer(tiny_components(family, **changes), family)
    for _ in range(iterations):
        trainer.meta_iteration()
    trainer.close()
    return trainer.components


def train(out, family=None, **changes):
    family = family or walk()
    config = tiny_config(family=family.name, **changes)
    return metarl_gan.train(family, config, out=out, progress=False)


def curve(components, family=None, *, generated=True, episodes=2, seed=5, n_tasks=4):
    """Returns `[tasks, episodes + 1]` on held-out tasks."""
    family = family or walk()
    pool = EnvironmentPool(family)
    evaluator = Evaluator(components, pool, Streams(seed), generated=generated, scored_episodes=2)
    found = evaluator.adaptation_curve(family.sample(n_tasks, split="test", seed=seed), episodes)
    pool.close()
    return found


def assert_same_tensors(ours, theirs):
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert different == []


def fingerprint(folder):
    """Every file of a folder with the hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }

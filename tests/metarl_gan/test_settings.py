"""Every setting of the config can be set, and changes what is learnt."""

from typing import Any, Literal, get_args, get_origin

import pytest
import torch

from metarl_gan.config import Config
from metarl_gan.config_io import override, setting_types
from metarl_gan.trainer import Trainer
from tests.metarl_gan import tiny

ELSEWHERE = {
    "family": "test_api",
    "device": "test_components",
    "torch_threads": "test_api",
    "iterations": "test_training_run",
    "max_real_steps": "test_trainer",
    "policy.start_from": "test_starting_point",
    "sampler.validation_tasks": "test_task_sampler",
    "environments.backend": "test_broken_tasks",
    "environments.step_timeout_s": "test_broken_tasks",
    "environments.processes": "test_broken_tasks",
    "learner.execution": "learners/test_execution",
    "learner.checkpoint_inner_steps": "learners/test_inner_loop",
    "logging.validate_every": "test_training_run",
    "logging.checkpoint_every": "test_training_run",
    "logging.tensorboard": "test_training_run",
}
"""Settings that change nothing of what two iterations learn, and where they are tested."""

VALUES = {
    "seed": (1,),
    "sampler.query_episodes": (3,),
    "sampler.train_tasks": (5,),
    "policy.initial_std": (0.25,),
    "learner.inner_clip": (1e-6,),
    "learner.outer_clip": (1e-6,),
    "learner.entropy_bonus": (0.1,),
    "learner.kl_penalty": (1.0,),
    "learner.kl_target": (1e-9,),
    "learner.max_kl": (1e-4,),
    "learner.curvature_share": (0.5,),
    "learner.algorithm": ("fomaml", "reptile"),
    "learner.sb3_algorithm": ("A2C", "SAC", "TD3"),
    "learner.sb3_batch_size": (4,),
    "learner.sb3_options": (("clip_range=0.001",),),
    "sac.hidden_sizes": ((8, 7),),
    "sac.critics": (3,),
    "sac.warm_up_real_steps": (1000,),
    "sac.branch_steps": (4,),
    "sac.replayed_tasks": (3,),
    "sac.first_log_std": (1.0,),
    "sac.task_updates": (3,),
    "sac.relabelled_rows": (80,),
    "sac.branched_rows": (80,),
    "sac.generate_every_updates": (2,),
    "generator.inversion_rows": (2,),
    "generator.noise_size": (0, 1),
    "generator.members": (3,),
    "generator.elites": (1, 2),
    "discriminator.spectral_norm": (False,),
    "discriminator.r1_weight": (1.0,),
    "discriminator.feature_matching": (1.0,),
    "adversarial.anchor_samples": (3,),
    "adversarial.max_gradient_norm": (1e-9,),
    "adversarial.counterfactual_share": (1.0,),
    "adversarial.adversarial_weight": (0.0, 0.5),
    "adversarial.tasks_per_update": (3,),
    "adversarial.replay_tasks": (3,),
    "adversarial.replay_episodes": (2,),
    "adversarial.max_context": (4,),
    "augmentation.share": (0.25, 0.0),
    "augmentation.gate_full_error": (50.0,),
    "augmentation.gate_zero_error": (50.0,),
    "augmentation.gate_unrefined": (50.0,),
    "augmentation.rollout_steps": (0, 3),
}
"""Values where half of a number, or one more, would not do."""

POLICY = ("meta_learner.parameters.", "meta_learner.actor.")
"""Where learners keep the policy that they learn."""

GATED: dict[str, Any] = {"augmentation.mode": "gated", "augmentation.gate_zero_error": 100.0}
SAC: dict[str, Any] = {
    "learner.algorithm": "context_sac",
    "sac.hidden_sizes": (8, 8),
    "sac.batch_size": 16,
    "sac.warm_up_real_steps": 20,
    "sac.initial_updates": 3,
    "sac.updates_per_real_step": 0.1,
    "sac.encodings_per_task": 2,
    "sac.relabelled_rows": 40,
    "sac.branched_rows": 40,
    "sac.branch_steps": 2,
    "sac.task_batch_size": 4,
}
SB3: dict[str, Any] = {
    "learner.algorithm": "sb3_reptile",
    "learner.sb3_updates": 2,
    "learner.sb3_batch_size": 8,
}
POSTERIOR: dict[str, Any] = {"encoder.posterior": True}
TRUST_REGION: dict[str, Any] = {"learner.outer": "trust_region"}
BASES: dict[str, dict[str, Any]] = {
    "learner.reptile_step": {"learner.algorithm": "reptile"},
    "learner.sb3_algorithm": SB3,
    "learner.sb3_lr": SB3,
    "learner.sb3_batch_size": SB3,
    "learner.sb3_updates": SB3,
    "learner.sb3_exploration": {**SB3, "learner.sb3_algorithm": "TD3"},
    "learner.sb3_scale_rewards": SB3,
    "learner.sb3_options": SB3,
    "learner.kl_target": {"learner.kl_penalty": 1.0},
    "learner.max_kl": TRUST_REGION,
    "learner.cg_iterations": TRUST_REGION,
    "learner.cg_damping": TRUST_REGION,
    "learner.curvature_share": {**TRUST_REGION, "sampler.query_episodes": 4},
    # Only a task that comes again has more than two episodes.
    "adversarial.replay_episodes": {"sampler.train_tasks": 4},
    "augmentation.gate_full_error": GATED,
    "augmentation.gate_zero_error": GATED,
    "augmentation.gate_unrefined": GATED,
    "augmentation.gate": GATED,
    "augmentation.schedule_updates": {"augmentation.mode": "scheduled"},
    "encoder.kl_weight": POSTERIOR,
    "generator.elites": {"generator.members": 3},
    "generator.diffusion_steps": {"generator.kind": "diffusion"},
    "generator.adaptation_steps": {"generator.adaptation": "maml"},
    "generator.adaptation_lr": {"generator.adaptation": "reptile"},
    "sac.task_batch_size": {"sac.task_updates": 3},
    "discriminator.gradient_penalty": {"discriminator.objective": "wgan_gp"},
}
"""What else must be set for a setting to matter."""


def value_of(config, name):
    for part in name.split("."):
        config = getattr(config, part)
    return config


def base_of(name):
    """What else must be set for a setting to matter."""
    return {**(SAC if name.startswith("sac.") else {}), **BASES.get(name, {})}


def others(name, annotation):
    """Values of a setting that are neither its default nor what the tiny config has."""
    base = value_of(override(tiny.tiny_config(), base_of(name)), name)
    if name in VALUES:
        return VALUES[name]
    if get_origin(annotation) is Literal:
        return tuple(choice for choice in get_args(annotation) if choice != base)
    if annotation is bool:
        return (not base,)
    if annotation is int:
        return (base + 1,)
    if annotation is float:
        return (base / 2,)
    return ((5, 4),)


CASES = [
    pytest.param(name, value, id=f"{name}={value}")
    for name, annotation in setting_types(Config).items()
    if name not in ELSEWHERE
    for value in others(name, annotation)
]


def learnt(changes):
    family = tiny.walk()
    trainer = Trainer(tiny.tiny_components(family, **changes), family)
    # In the second there is a generator to imagine with, in the third what came of that.
    for _ in range(3):
        trainer.meta_iteration()
    trainer.close()
    tensors = trainer.tensors()
    if trainer.components.gan is not None:
        assert tensors.pop("gan.validation_error").isinf()  # only a run validates
    return tensors


BASELINES = {}


def baseline(changes):
    key = tuple(changes.items())
    if key not in BASELINES:
        BASELINES[key] = learnt(changes)
    return BASELINES[key]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_setting_runs_and_matters(name, value):
    base = base_of(name)
    tensors, before = learnt({**base, name: value}), baseline(base)
    assert all(bool(torch.isfinite(tensor.float()).all()) for tensor in tensors.values())
    # Shapes may follow from a setting; what it did to the policy that is learnt must show, too.
    policy = [name for name in tensors if name.startswith(POLICY)]
    assert any(
        tensors[name].shape == before[name].shape and not torch.equal(tensors[name], before[name])
        for name in policy
        if name in before
    )


def test_the_baseline_is_the_same_each_time():
    """Else every setting would seem to matter."""
    tiny.assert_same_tensors(learnt({}), baseline({}))


def test_no_setting_is_forgotten():
    tested = {case.values[0] for case in CASES}
    assert tested | set(ELSEWHERE) == set(setting_types(Config))
    assert not tested & set(ELSEWHERE)
    for case in CASES:
        name, value = str(case.values[0]), case.values[1]
        default = value_of(Config(), name)
        base = value_of(override(tiny.tiny_config(), base_of(name)), name)
        assert value != base
        # Some value of each is not the default.
        assert any(c.values[1] != default for c in CASES if c.values[0] == name), name

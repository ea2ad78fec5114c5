"""Presets: how much to spend on a family, chosen on validation tasks of its train split.

A preset is a set of overrides by dotted name on the defaults of `Config`. `quick` is minutes
on two cores, `default` makes the most of few real steps, `paper` has meta-batches as large as
publications have them, for millions.
"""

import difflib
from collections.abc import Mapping

from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import Layer, merge_layers

Overrides = Mapping[str, object]

GENERAL: dict[str, Overrides] = {
    "quick": {"iterations": 50},
    "default": {},
    "paper": {"iterations": 2000, "sampler.tasks_per_batch": 40},
}
"""For any family, a user's own included."""

FEW_TASKS: Overrides = {
    # Updates are what few real steps are short of: learn often, from few tasks at a time. The
    # generator's 80 per meta-batch of 20 tasks were dearer on so few, and on point-goal worse.
    "iterations": 1000,
    "sampler.tasks_per_batch": 5,
    "adversarial.updates_per_iteration": 25,
    # Of a trust region: a share of so few episodes says nothing of the curvature.
    "learner.curvature_share": 1.0,
}

POINT_GOAL: Overrides = {"learner.discount": 0.95}

POINT_SLIP: Overrides = {
    **POINT_GOAL,
    # A step has several outcomes: the energy score learns how often each comes, and a critic that
    # compares draws of the same step finds where it is still off.
    "adversarial.anchor_samples": 4,
    "adversarial.learning_rate": 4e-3,
    "adversarial.adversarial_weight": 1.0,
    "adversarial.game_every": 1,
    "discriminator.objective": "cramer",
    "discriminator.spectral_norm": False,
    "discriminator.r1_weight": 0.3,
    # The gate would stay shut: a draw differs from what happened as outcomes do from each other.
    # A share that is fixed from the first iteration costs before the generator knows anything.
    "augmentation.mode": "scheduled",
    "augmentation.schedule_updates": 1500,
}

PENDULUM: Overrides = {
    # A pendulum's return is decided by the next second: Pendulum-v1 is learnt with short horizons.
    "learner.discount": 0.9,
    "learner.inner_lr": 0.1,
    "learner.outer_lr": 3e-3,
    "learner.outer_epochs": 10,
    "augmentation.start": "own_states",
}

PENDULUM_IN_FEW_STEPS: Overrides = {
    **PENDULUM,
    **FEW_TASKS,
    "sampler.query_episodes": 1,
    "learner.discount": 0.95,
    "learner.outer_lr": 0.01,
    "learner.outer_epochs": 20,
    "learner.max_kl": 0.1,
}

HALF_CHEETAH: Overrides = {
    "sampler.query_episodes": 3,
    "learner.discount": 0.99,
    "learner.inner_steps": 2,
    "learner.inner_lr": 0.1,
    "learner.outer_epochs": 10,
    "adversarial.updates_per_iteration": 25,
    # A gait is nowhere near the start: imagine from where the task's own episode went.
    "augmentation.start": "own_states",
}

HALF_CHEETAH_IN_FEW_STEPS: Overrides = {
    **HALF_CHEETAH,
    **FEW_TASKS,
    "sampler.query_episodes": 1,
    "learner.outer_lr": 3e-3,
    "learner.outer_epochs": 20,
    "learner.max_kl": 0.1,
}

BY_FAMILY: dict[str, dict[str, Overrides]] = {
    "point-goal": {
        "quick": {**POINT_GOAL, "iterations": 33},
        "default": {**POINT_GOAL, **FEW_TASKS},
        "paper": POINT_GOAL,
    },
    "cartpole-physics": {"default": FEW_TASKS},
    "point-slip": dict.fromkeys(GENERAL, POINT_SLIP),
    "pendulum-physics": {
        "quick": {**PENDULUM, "iterations": 60},
        "default": PENDULUM_IN_FEW_STEPS,
        "paper": PENDULUM,
    },
    **{
        name: {
            "quick": {**HALF_CHEETAH, "iterations": 60},
            "default": HALF_CHEETAH_IN_FEW_STEPS,
            "paper": HALF_CHEETAH,
        }
        # Found on velocities; nobody has searched on directions yet.
        for name in ("half-cheetah-velocity", "half-cheetah-direction")
    },
}
"""What is better for a family, found on its validation tasks; on top of the general preset."""


TRUST_REGION_BY_FAMILY: dict[str, dict[str, Overrides]] = {
    # One step per meta-batch, however many tasks: here it takes all that it can get.
    "point-goal": {"default": POINT_GOAL},
}
"""Instead of these where the outer loop is a trust region's."""


CONTEXT_SAC: Overrides = {
    "learner.discount": 0.99,
    "sampler.tasks_per_batch": 5,
    "sampler.query_episodes": 1,
    # Every meta-batch is small: many updates on each, of generator and learner alike.
    "adversarial.updates_per_iteration": 200,
    "adversarial.replay_episodes": 4,
    "augmentation.share": 0.8,
}

OFF_POLICY: dict[str, Overrides] = {
    "quick": {**CONTEXT_SAC, "iterations": 20},
    "default": {**CONTEXT_SAC, "iterations": 60},
    "paper": {**CONTEXT_SAC, "iterations": 200},
}
"""Instead of all of these where the learner is off-policy: a real step is worth more there."""

HALF_CHEETAH_OFF_POLICY: Overrides = {
    # Updates save real steps; small ones, few of them the actor's, are what can be afforded.
    "sac.batch_size": 128,
    "sac.actor_every": 4,
    "sac.initial_updates": 8000,
    "sac.updates_per_real_step": 3.0,
    # The first steps tell how fast to run: no episode is lost on another task's velocity.
    "sac.infer_every_steps": 20,
}

TWO_DIRECTIONS_OFF_POLICY: Overrides = {
    **HALF_CHEETAH_OFF_POLICY,
    # Of two tasks four contexts each are few, and one that misleads is an eighth of everything.
    "sac.encodings_per_task": 16,
    # Rollouts of the policy as it is, not as it was thousands of updates ago.
    "sac.generate_every_updates": 1000,
}

OFF_POLICY_BY_FAMILY: dict[str, Overrides] = {
    "half-cheetah-direction": TWO_DIRECTIONS_OFF_POLICY,
    "half-cheetah-velocity": HALF_CHEETAH_OFF_POLICY,
    "half-cheetah-velocity-interpolation": HALF_CHEETAH_OFF_POLICY,
    "half-cheetah-velocity-extrapolation": HALF_CHEETAH_OFF_POLICY,
}
"""What is better for a family then, with every preset; found on its validation tasks."""


REPTILE_OVER_SB3: Overrides = {
    # The inner learner's own updates are what few real steps are short of; all of them count.
    "learner.inner_steps": 1,
    "learner.sb3_updates": 100,
    "learner.reptile_step": 1.0,
}

REPTILE_OVER_SB3_BY_ALGORITHM: dict[str, Overrides] = {
    # With the entropy weight of 1 that it begins with by itself, half-cheetahs stood still.
    "SAC": {**REPTILE_OVER_SB3, "learner.sb3_options": ("ent_coef=auto_0.05",)},
    "TD3": REPTILE_OVER_SB3,
    # Each of the steps begins with a new target network.
    "DQN": {**REPTILE_OVER_SB3, "learner.inner_steps": 5, "learner.sb3_updates": 50},
}
"""On top of the preset `default` where the inner learner is one of these."""


def with_preset(preset: str, family: str, *layers: Layer) -> tuple[Layer, ...]:
    """Settings in layers, on top of a preset for the family and for the learner that they choose.

    Raises `ConfigError` as `preset_overrides` and `merge_layers` do.
    """
    values = preset_overrides(preset, family, merge_layers(Config, *layers))
    return (Layer(source="preset", values=values), *layers)


def preset_overrides(
    preset: str, family: str, chosen: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Overrides of a preset for a family and the learner that is `chosen` by dotted names.

    Raises `ConfigError` with the nearest name for a preset that does not exist.
    """
    if preset not in GENERAL:
        nearest = difflib.get_close_matches(preset, GENERAL, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ConfigError(f"preset is {preset!r}; it must be one of {list(GENERAL)}{hint}")
    algorithm, outer, over = (
        str((chosen or {}).get(f"learner.{name}", getattr(Config().learner, name)))
        for name in ("algorithm", "outer", "sb3_algorithm")
    )
    if algorithm == "context_sac":
        return {**OFF_POLICY[preset], **OFF_POLICY_BY_FAMILY.get(family, {})}
    own = BY_FAMILY.get(family, {}).get(preset, {})
    if outer == "trust_region":
        own = TRUST_REGION_BY_FAMILY.get(family, {}).get(preset, own)
    overrides = {**GENERAL[preset], **own}
    if algorithm == "sb3_reptile" and preset == "default":
        overrides |= REPTILE_OVER_SB3_BY_ALGORITHM.get(over, {})
    return overrides

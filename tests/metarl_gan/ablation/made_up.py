"""Ablations that take no time: tiny plans, and results that are made up."""

from dataclasses import replace

import numpy as np

from metarl_gan.ablation.arms import BUILT_IN, Arm, choose_arms
from metarl_gan.ablation.jobs import EvaluationPlan
from metarl_gan.ablation.plan import AblationPlan
from metarl_gan.config import Config
from metarl_gan.config_io import override, to_plain
from metarl_gan.report_files import write_json
from metarl_gan.reports import AdaptationReport
from tests.metarl_gan import tiny

FAMILY = "point-goal"  # of which no episode ends early: equal iterations are equal real steps
SETTINGS = {name: value for name, value in tiny.TINY.items() if name != "family"}
QUICK = EvaluationPlan(tasks=3, fidelity_tasks=0)
SPENT = {
    "real_steps": 2400,
    "meta_iterations": 2,
    "outer_steps": 8,
    "generator_updates": 25,
    "simulator_steps": 0,
}


def tiny_plan(**changes):
    plan = AblationPlan(
        family=FAMILY,
        arms=choose_arms(["none", "gan"]),
        seeds=(0, 1),
        settings=SETTINGS,
        evaluation=QUICK,
    )
    return replace(plan, **changes)


def made_up(out, arm, seed, returns, *, tasks=None, settings=(), **spent):
    """Write a result: `returns` [tasks, episodes + 1], without generated data one less."""
    chosen = BUILT_IN.get(arm, Arm(name=arm))
    names = tasks or [f"t{index}" for index in range(len(returns))]
    config = override(Config(), {**chosen.overrides, "seed": seed, **dict(settings)})

    def report(values):
        return AdaptationReport(
            family="fake", arm="a", split="test", seed=0, task_ids=tuple(names), returns=values
        ).to_dict()

    returns = np.asarray(returns, dtype=float)
    reports = {"real_only": report(returns - 1.0 if config.uses_generator else returns)}
    means = {"gradient_cosine": {"generated": 0.5 + seed / 10}, "mean_generated_share": 0.75}
    if config.uses_generator:
        reports["generated"] = report(returns)
    content = {
        "kind": "ablation-job",
        "arm": {"name": arm, "overrides": chosen.overrides},
        "seed": seed,
        "command": "metarl-gan ablate …",
        "versions": {"python": "3"},
        "config": to_plain(config),
        "spent": {**SPENT, "generator_updates": 25 if config.uses_generator else 0, **spent},
        "training_seconds": 10.0 + seed,
        "training_generated_share": 0.5,
        "reports": reports,
        "fidelity": {"computed": means} if config.uses_generator else None,
    }
    write_json(out / arm / f"seed-{seed}.json", content)


def two_arms(folder):
    """Two seeds, four tasks: gan is better by 1, 2, 3, 6 with seed 0 and by 2 more with seed 1."""
    for seed in (0, 1):
        after = np.array([-9.0, -8.0, -7.0, -6.0]) - seed
        before = np.full(4, -20.0)
        gain = np.array([1.0, 2.0, 3.0, 6.0]) + 2 * seed
        made_up(folder, "none", seed, np.stack([before, after], axis=1))
        made_up(folder, "gan", seed, np.stack([before, after + gain], axis=1))
    return folder

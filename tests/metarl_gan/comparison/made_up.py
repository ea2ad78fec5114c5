"""Comparisons that take no time: tiny plans, and results that are made up."""

from dataclasses import asdict, replace

import numpy as np

from metarl_gan.adaptation_report import AdaptationReport
from metarl_gan.comparison.choices import MethodChoice
from metarl_gan.comparison.jobs import EvaluationPlan
from metarl_gan.comparison.plan import ComparisonPlan
from metarl_gan.report_files import write_json
from tests.metarl_gan import tiny

FAMILY = "tests.metarl_gan.tiny:walk"
SETTINGS = {
    name: ",".join(map(str, value)) + "," if isinstance(value, tuple) else str(value).lower()
    for name, value in tiny.TINY.items()
    if name not in {"family", "iterations"}
}
"""As words of a command line."""
QUICK = EvaluationPlan(tasks=3, episodes=1, scored_episodes=2)
BUDGET = 100


def tiny_plan(**changes):
    """Two of our agents by two seeds on a family that ends early."""
    plan = ComparisonPlan(
        family=FAMILY,
        methods=(
            MethodChoice(name="maml", method="maml-no-generator", overrides=SETTINGS),
            MethodChoice(
                name="reptile-no-generator", method="reptile-no-generator", overrides=SETTINGS
            ),
        ),
        budget_real_steps=BUDGET,
        seeds=(0, 1),
        evaluation=QUICK,
    )
    return replace(plan, **changes)


def made_up(
    out,
    method,
    seed,
    returns,
    *,
    curve=(),
    floors=(),
    reference=None,
    real_steps=990,
    budget=1000,
    inner_steps=1,
    split="test",
):
    """Write a result: `returns` [tasks, episodes + 1]; `curve` of (real steps, return)."""
    returns = np.asarray(returns, dtype=float)
    report = AdaptationReport(
        family="fake",
        arm=method,
        split=split,
        seed=0,
        task_ids=tuple(f"t{index}" for index in range(len(returns))),
        returns=returns,
        floors=dict(floors),
        reference=reference,
    )
    evaluation = EvaluationPlan(tasks=len(returns), episodes=returns.shape[1] - 1, split=split)
    content = {
        "kind": "comparison-job",
        "choice": {"name": method, "method": method, "overrides": {}},
        "preset": "default",
        "training": {
            "method": method,
            "family": "fake",
            "seed": seed,
            "budget_real_steps": budget,
            "settings": {"learner.inner_steps": inner_steps},
        },
        "evaluation": asdict(evaluation),
        "command": "metarl-gan compare …",
        "versions": {"python": "3"},
        "seed": seed,
        "real_steps": real_steps,
        "validation_real_steps": 50,
        "evaluation_real_steps": 60,
        "seconds": {"training": 10.0 + seed, "wall": 20.0, "processor": 30.0},
        "learning_curve": [
            {"real_steps": steps, "seconds": steps / 10, "validation_return": score}
            for steps, score in curve
        ],
        "adaptation": report.to_dict(),
    }
    write_json(out / method / f"seed-{seed}.json", content)


def two_methods(folder, **changes):
    """Two seeds, four tasks: after one episode b is better by 1, 2, 3, 6, with seed 1 by 2 more."""
    scale = {"floors": {"zero_action": -20.0, "random": -30.0}, "reference": 0.0, **changes}
    for seed in (0, 1):
        before = np.full(4, -20.0)
        after = np.array([-9.0, -8.0, -7.0, -6.0]) - seed
        gain = np.array([1.0, 2.0, 3.0, 6.0]) + 2 * seed
        curve = [(500, -12.0), (900, -8.0 - seed)]
        made_up(folder, "a", seed, np.stack([before, after], axis=1), curve=curve, **scale)
        made_up(folder, "b", seed, np.stack([before, after + gain], axis=1), **scale)
    return folder

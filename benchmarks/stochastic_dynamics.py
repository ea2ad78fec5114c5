"""Generators trained on one and the same data, where a step has several outcomes.

    python benchmarks/stochastic_dynamics.py run --seeds 0 1 2 3 4
    python benchmarks/stochastic_dynamics.py report

No agent is trained: policies that drift in random directions play episodes of training tasks,
every generator learns from these with equally many updates, and its fidelity is measured on
held-out tasks given a few real episodes of each. `run` skips what has a result.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from point_slips import SPEEDS, slip_figure, slip_frequencies
from torch import Tensor

from metarl_gan.agents.collector import collect
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.components import Components
from metarl_gan.config import Config
from metarl_gan.config_io import override, to_plain
from metarl_gan.envs import TaskFamily, make_family
from metarl_gan.generator_learner import AdversarialLearner
from metarl_gan.gradient_fidelity import FidelityMeter
from metarl_gan.presets import preset_overrides
from metarl_gan.report_files import (
    installed_versions,
    read_report,
    write_bytes,
    write_figure,
    write_json,
)
from metarl_gan.statistics import BOOTSTRAP_SEED, stratified_bootstrap_interval
from metarl_gan.streams import Streams

RESULTS = Path(__file__).parent / "results" / "stochastic_dynamics"
KIND = "stochastic-dynamics"
DRIFT_STD, POLICIES_PER_TASK, EPISODES_PER_POLICY = 0.6, 4, 2
ARMS: dict[str, Mapping[str, object]] = {
    "gan": {},
    "regression": {"adversarial.adversarial_weight": 0.0, "generator.noise_size": 0},
    "energy score without a discriminator": {"adversarial.adversarial_weight": 0.0},
    "discriminator beside a regression": {"adversarial.anchor_samples": 1},
    "discriminator of single outcomes": {
        "discriminator.objective": "non_saturating",
        "discriminator.r1_weight": 0.1,
        "adversarial.adversarial_weight": 0.05,
    },
    "ensemble": {
        "generator.kind": "ensemble",
        "generator.members": 5,
        "generator.elites": 3,
        "adversarial.adversarial_weight": 0.0,
        "adversarial.learning_rate": 2e-3,
    },
    "diffusion": {
        "generator.kind": "diffusion",
        "adversarial.adversarial_weight": 0.0,
        "adversarial.learning_rate": 2e-3,
    },
}
WHAT = {
    "generated": "cosine, generated",
    "shuffled_context": "cosine, shuffled context",
    "energy_distance": "energy distance",
    "coverage": "coverage",
    "worst_error": "error that the gate sees",
    "share": "share that it gives",
    "slips ahead": "slips at a full step ahead (truth: 1)",
    "falls ahead": "falls at a full step ahead (truth: 1)",
    "slips half": "slips at half a step ahead (truth: 0.5)",
    "slips back": "slips at a full step back (truth: 0)",
}


def main() -> None:
    """Parse the command line, and run or report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--family", default="point-slip")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--split", default="test")
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--train-tasks", type=int, default=400)
    parser.add_argument("--updates", type=int, default=1200)
    parser.add_argument("--context-episodes", type=int, default=5)
    parser.add_argument("--set", nargs="*", default=[], help="settings for all arms, name=value")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in options.seeds if options.action == "run" else []:
        for arm in options.arms:
            run(options, arm, seed)
    report(options.out)


def run(options: argparse.Namespace, arm: str, seed: int) -> None:
    """Train one generator on the seed's data and measure it; write one file."""
    result = options.out / arm.replace(" ", "-") / f"seed-{seed}.json"
    if result.exists():
        return
    started = time.perf_counter()
    config = override(Config(), {**preset_overrides("default", options.family), "seed": seed})
    config = override(config, dict(setting.split("=", 1) for setting in options.set))
    config = override(config, ARMS[arm])
    family = make_family(options.family)
    descriptor = family.sample(1, split="train", seed=0)[0].descriptor
    spaces = (family.observation_space, family.action_space, family.horizon)
    components = Components.build(config, *spaces, descriptor_size=len(descriptor))
    streams = Streams(seed, components.device)
    real_steps = teach(components, family, options, streams)
    meter = FidelityMeter(components, family, Streams(0, components.device))
    tasks = family.sample(options.tasks, split=options.split, seed=0)
    measured = meter.measure(tasks, options.context_episodes)
    transitions = measured.transitions
    values = {name: _mean(cosines) for name, cosines in measured.cosines.items()}
    values |= {
        "energy_distance": _mean(transitions.energy_distances),
        "coverage": _mean(transitions.coverages),
        "worst_error": float(measured.errors.worst.mean()),
        "share": float(measured.share.mean()),
    }
    slips = {}
    if options.family == "point-slip":
        slips = slip_frequencies(components, family, tasks, options.context_episodes)
        values |= {f"{name} ahead": shares[SPEEDS.index(1.0)] for name, shares in slips.items()}
        values["slips half"] = slips["slips"][SPEEDS.index(0.5)]
        values["slips back"] = slips["slips"][SPEEDS.index(-1.0)]
    content = {
        "kind": KIND,
        "arm": arm,
        "seed": seed,
        "family": options.family,
        "real_steps": real_steps,
        "updates": options.updates,
        "context_episodes": options.context_episodes,
        "held_out_tasks": len(measured.tasks),
        "seconds": time.perf_counter() - started,
        "command": shlex.join(["python", *sys.argv]),
        "config": to_plain(config),
        "versions": installed_versions(),
        "values": values,
        "slips_by_speed": slips,
        "cosines": {name: cosines.tolist() for name, cosines in measured.cosines.items()},
        "energy_p_value": transitions.energy_p_value,
        "expected_coverage": transitions.expected_coverage,
    }
    write_json(result, content)
    print(arm, seed, {name: round(value, 3) for name, value in values.items()}, flush=True)


def teach(
    components: Components, family: TaskFamily, options: argparse.Namespace, streams: Streams
) -> int:
    """Collect the seed's data, and train the generator on it; the real steps taken."""
    gan, config = components.gan, components.config
    assert gan is not None  # every arm generates
    updates = {
        "adversarial.initial_updates": options.updates,
        "adversarial.replay_tasks": options.train_tasks,
    }
    learner = AdversarialLearner(gan, override(config, updates), streams)
    tasks = family.sample(options.train_tasks, split="train", seed=streams.integer("tasks"))
    environments = components.environments(family)
    batches, real_steps = [], 0
    for number in range(POLICIES_PER_TASK):
        stream = streams.torch("drift", number)
        played = collect(
            environments.get(tasks, EPISODES_PER_POLICY),
            components.policy,
            drifting(components, len(tasks), stream),
            stream,
            seed=streams.integer("episodes", number),
        )
        batches.append(played.batch)
        real_steps += played.real_steps
    environments.close()
    learner.learn(tasks, batches)
    return real_steps


def drifting(components: Components, n_tasks: int, stream: torch.Generator) -> dict[str, Tensor]:
    """A policy per task that drifts somewhere, whatever it observes."""
    initial = components.policy.initial_parameters(stream)
    parameters = {name: v.clone() for name, v in expand_over_tasks(initial, n_tasks).items()}
    last = max(name for name in parameters if name.startswith("bias_"))
    bias = parameters[last]
    parameters[last] = DRIFT_STD * torch.randn(bias.shape, generator=stream)
    return parameters


def report(out: Path) -> None:
    """A table of means over seeds and tasks, and a figure of slips."""
    results = [read_report(path, KIND, "") for path in sorted(out.glob("*/seed-*.json"))]
    if not results:
        sys.exit(f"no results in {out}; run this script with 'run' first")
    arms = [arm for arm in ARMS if any(result["arm"] == arm for result in results)]
    what = {name: text for name, text in WHAT.items() if name in results[0]["values"]}
    lines = ["| generator | " + " | ".join(what.values()) + " |", "| --- " * (len(what) + 1) + "|"]
    for arm in arms:
        mine = [result for result in results if result["arm"] == arm]
        cells = [_cell(mine, name) for name in what]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    first = results[0]
    real = {name: np.mean([r["values"][name] for r in results]) for name in ("real", "real_20")}
    lines += [
        "",
        f"{len({r['seed'] for r in results})} seeds x {first['held_out_tasks']} held-out tasks of "
        f"{first['family']}, {first['updates']} updates on "
        f"{np.mean([r['real_steps'] for r in results]):,.0f} real steps each; context: "
        f"{first['context_episodes']} real episodes, whose own gradient has cosine "
        f"{real['real']:.2f}; that of twenty others {real['real_20']:.2f}. Coverage by as many "
        f"real transitions would be {first['expected_coverage']:.2f}. Cosines are interquartile "
        "means over seeds and tasks with 95 % intervals, the rest means over both; in parentheses "
        "the range of the seeds' means.",
        "",
    ]
    write_bytes(out / "table.md", "\n".join(lines).encode())
    print("\n".join(lines))
    if results[0]["slips_by_speed"]:
        by_arm = {arm: [r["slips_by_speed"] for r in results if r["arm"] == arm] for arm in arms}
        write_figure(out / "slips.png", slip_figure(by_arm), description=f"{out.name}: slips")


def _cell(results: list[Mapping], name: str) -> str:
    values = [result["values"][name] for result in results]
    if len(values) == 1:
        return f"{values[0]:.3f}"
    spread = f"{min(values):.2f} to {max(values):.2f}"
    if name not in results[0]["cosines"]:
        return f"{np.mean(values):.3f} ({spread})"
    by_task = np.array([result["cosines"][name] for result in results])
    interval = stratified_bootstrap_interval(by_task, rng=np.random.default_rng(BOOTSTRAP_SEED))
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}] ({spread})"


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values))


if __name__ == "__main__":
    main()

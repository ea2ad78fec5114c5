"""Break the generator of trained agents on purpose, and see what the gate makes of it.

    python benchmarks/do_no_harm.py run --runs A/gan/seed-0 … --other B/seed-0 … --out FOLDER
    python benchmarks/do_no_harm.py report --out FOLDER

Each agent (runs of one family, one per seed) is evaluated on the same held-out tasks as it is,
without generated data, and with generators that are broken: random weights, the weights of a run on
another family of the same spaces (`--other`, paired by order), a reward head that is negated, and
constants in place of everything. The gate of the default config decides, whatever the agents were
trained with. Support episodes, starts and tasks are shared by all.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import metarl_gan
from metarl_gan.agent import MetaAgent
from metarl_gan.config import Config
from metarl_gan.envs import make_family
from metarl_gan.evaluator import Evaluator
from metarl_gan.gan import ConditionalGAN
from metarl_gan.report_files import installed_versions, read_report, write_bytes, write_json
from metarl_gan.statistics import (
    BOOTSTRAP_SEED,
    Interval,
    paired_difference_interval,
    stratified_bootstrap_interval,
)
from metarl_gan.streams import Streams

TASKS, EVALUATION_SEED, KIND = 40, 0, "do-no-harm"
WITHOUT, INTACT = "without generated data", "intact"
Break = Callable[[ConditionalGAN, ConditionalGAN], None]


def random_weights(gan: ConditionalGAN, other: ConditionalGAN) -> None:
    """What an untrained generator would say."""
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in (gan.averaged_encoder, gan.averaged_generator):
            for value in part.module.parameters():
                noise = torch.randn(value.shape, generator=stream)
                value.copy_(noise * value.square().mean().sqrt())


def another_family(gan: ConditionalGAN, other: ConditionalGAN) -> None:
    """The generator, encoder and normalisers of another family's run.

    Its discriminator, which no gate asks, may be of another shape.
    """
    state = other.state_dict()
    taken = {name: value for name, value in state.items() if not name.startswith("discriminator.")}
    missed = gan.load_state_dict(taken, strict=False)
    assert all(name.startswith("discriminator.") for name in missed.missing_keys)
    assert not missed.unexpected_keys


def negated_rewards(gan: ConditionalGAN, other: ConditionalGAN) -> None:
    """Bad is good."""
    weights = gan.imagining.weights()
    last = max(name for name in weights if name.startswith("reward.weight_"))
    with torch.no_grad():
        for name in (last, last.replace("weight", "bias")):
            weights[name].neg_()


def constants(gan: ConditionalGAN, other: ConditionalGAN) -> None:
    """A collapsed generator: the same transition whatever is asked."""
    with torch.no_grad():
        for value in gan.averaged_generator.module.parameters():
            value.zero_()


BREAKS: dict[str, Break] = {
    "random weights": random_weights,
    "weights of another family": another_family,
    "rewards negated": negated_rewards,
    "constants": constants,
}


def main() -> None:
    """Parse the command line, and run or report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--runs", type=Path, nargs="+", default=[])
    parser.add_argument("--other", type=Path, nargs="+", default=[])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.action == "run":
        if not options.runs or len(options.other) != len(options.runs):
            sys.exit("give --runs, and as many --other")
        for run, other in zip(options.runs, options.other, strict=True):
            evaluate_run(run, other, options.out)
    report(options.out)


def evaluate_run(run: Path, other: Path, out: Path) -> None:
    """All variants of one agent; one file."""
    agent = load(run)
    foreign = metarl_gan.load(other).components.gan
    assert foreign is not None  # runs with a generator are asked for
    result = {
        "kind": KIND,
        "family": agent.config.family,
        "other_family": metarl_gan.load(other).config.family,
        "seed": agent.config.seed,
        "evaluation_seed": EVALUATION_SEED,
        "command": shlex.join(["python", *sys.argv]),
        "versions": installed_versions(),
        "variants": {
            WITHOUT: score(agent, generated=False),
            INTACT: score(agent, generated=True),
        },
    }
    for name, break_it in BREAKS.items():
        broken = load(run)
        assert broken.components.gan is not None
        break_it(broken.components.gan, foreign)
        result["variants"][name] = score(broken, generated=True)
    write_json(out / f"seed-{agent.config.seed}.json", result)


def load(run: Path) -> MetaAgent:
    """An agent under the gate of the default config."""
    agent, now = metarl_gan.load(run), Config().augmentation
    gate = {
        name: getattr(now, name)
        for name in ("mode", "gate", "gate_full_error", "gate_zero_error", "gate_unrefined")
    }
    augmentation = replace(agent.config.augmentation, **gate)
    config = replace(agent.config, augmentation=augmentation)
    agent.components = replace(agent.components, config=config)
    return agent


def score(agent: MetaAgent, *, generated: bool) -> dict[str, list[float]]:
    """Return after one real episode and share of generated data, per held-out task."""
    components = agent.components
    family = make_family(agent.config.family)
    environments = components.environments(family)
    evaluator = Evaluator(
        components, environments, Streams(EVALUATION_SEED, components.device), generated=generated
    )
    tasks = family.sample(TASKS, split="test", seed=EVALUATION_SEED)
    returns = evaluator.adaptation_curve(tasks, 1).returns[:, 1]
    environments.close()
    assert evaluator.share is not None  # it has adapted
    return {"returns": returns.tolist(), "share": evaluator.share.tolist()}


def report(out: Path) -> None:
    """The table over all seeds."""
    results = [read_report(path, KIND, "") for path in sorted(out.glob("seed-*.json"))]
    if len(results) < 2:
        sys.exit(f"{out} holds the results of {len(results)} runs; two are the least")
    returns = {name: _stack(results, name, "returns") for name in results[0]["variants"]}
    lines = [
        "| generator | return after 1 real episode, IQM [95 %] | minus without, paired [95 %] "
        "| mean share generated | largest |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, values in returns.items():
        rng = np.random.default_rng(BOOTSTRAP_SEED)
        own = stratified_bootstrap_interval(values, rng=rng)
        rng = np.random.default_rng(BOOTSTRAP_SEED)
        difference = paired_difference_interval(values, returns[WITHOUT], rng=rng)
        share = _stack(results, name, "share")
        lines.append(
            f"| {name} | {_show(own)} | {_show(difference)} | {share.mean():.3f} "
            f"| {share.max():.3f} |"
        )
    text = "\n".join(lines) + (
        f"\n\n{len(results)} agents of {results[0]['family']} x {values.shape[1]} held-out tasks; "
        f"the other family is {results[0]['other_family']}.\n"
    )
    write_bytes(out / "table.md", text.encode())
    print(text)


def _stack(results: list, name: str, what: str) -> np.ndarray:
    return np.array([result["variants"][name][what] for result in results])


def _show(interval: Interval) -> str:
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


if __name__ == "__main__":
    main()

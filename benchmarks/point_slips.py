"""How often a generator lets steps of `point-slip` slip and fall, beside how often they do."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from metarl_gan.agents.collector import collect
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.components import Components
from metarl_gan.descriptors import descriptors_of
from metarl_gan.envs import Task, TaskFamily
from metarl_gan.envs.families.point_slip import DITCH_HALF_WIDTH
from metarl_gan.plots import COLOURS
from metarl_gan.streams import Streams

SPEEDS = (-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the steps from the origin that are generated, ahead."""
DRAWS = 400


def slip_frequencies(
    components: Components, family: TaskFamily, tasks: Sequence[Task], episodes: int
) -> dict[str, list[float]]:
    """Shares by speed, means over tasks, given `episodes` real ones of a fresh policy each.

    `slips`: generated steps from the origin that end farther aside than half a gap; `falls`: those
    that end in a ditch. Both are `clip(speed, 0, 1)` in truth.
    """
    gan, streams = components.gan, Streams(1, components.device)
    assert gan is not None  # every arm generates
    initial = components.policy.initial_parameters(streams.torch("fresh-policy"))
    support = collect(
        components.environments(family).get(tasks, episodes),
        components.policy,
        expand_over_tasks(initial, len(tasks)),
        streams.torch("support"),
        seed=streams.integer("environments"),
    ).batch
    known = descriptors_of(tasks, components.device) if gan.descriptor_size else None
    stream = streams.torch("draws")
    context = gan.infer(support, stream, known)
    angles = torch.tensor([task.parameters["angle"] for task in tasks]).unsqueeze(-1)
    gaps = torch.tensor([task.parameters["gap"] for task in tasks]).unsqueeze(-1)
    ahead = torch.cat([angles.cos(), angles.sin()], dim=-1).unsqueeze(1).expand(-1, DRAWS, -1)
    origin = torch.zeros_like(ahead)
    found: dict[str, list[float]] = {"slips": [], "falls": []}
    for speed in SPEEDS:
        actions = gan.space.encode_actions(speed * ahead)
        made = gan.generate(context, gan.space.state.normalise(origin), actions, stream)
        reached = gan.space.next_states(origin, made.changes)
        aside = (reached[..., 1] * angles.cos() - reached[..., 0] * angles.sin()).abs()
        in_ditch = (aside - gaps).abs() <= DITCH_HALF_WIDTH
        found["slips"].append(float((aside > 0.5 * gaps).float().mean()))
        found["falls"].append(float(in_ditch.float().mean()))
    return found


def slip_figure(arms: Mapping[str, Sequence[Mapping[str, list[float]]]]) -> Figure:
    """Frequencies over speed, one line per arm: means over seeds, and their range."""
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    titles = {"slips": "slips aside, to wherever", "falls": "falls into a ditch"}
    for column, (name, title) in enumerate(titles.items()):
        axes = figure.add_subplot(1, 2, column + 1)
        axes.plot(SPEEDS, np.clip(SPEEDS, 0.0, 1.0), color="black", linestyle=":", label="truth")
        for index, (arm, of_seeds) in enumerate(arms.items()):
            values, colour = np.array([found[name] for found in of_seeds]), COLOURS[index]
            axes.fill_between(
                SPEEDS, values.min(0), values.max(0), color=colour, alpha=0.18, linewidth=0
            )
            axes.plot(SPEEDS, values.mean(0), color=colour, marker="o", label=arm)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xticks(np.linspace(-1.0, 1.0, 5))
        axes.set_xlabel("step ahead, as a share of a full one")
        axes.set_title(f"share of steps from the start: {title}", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    axes.legend(framealpha=0.9, edgecolor="none", fontsize=8, loc="upper left")
    return figure

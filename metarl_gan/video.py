"""Videos of an agent in tasks that it did not train on, before and after adapting."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from metarl_gan.agent import MetaAgent
from metarl_gan.agents.adapted_policy import AdaptedPolicy
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.pictures import make_visible, picture, seconds_per_step
from metarl_gan.envs.task import Task

PANEL_WIDTH, PANEL_HEIGHT, CAPTION_HEIGHT, GAP = 280, 168, 20, 4
"""Pixels: of an environment, of the line over it, and between."""
PAPER, INK = (255, 255, 255), (40, 44, 52)
FRAMES_PER_SECOND, MOST_FRAMES = 12.5, 100
COLOURS = 48
"""Of a GIF's palette, which serves all of its frames."""
NAMED_PARAMETERS = 2
"""Of a task, in a caption; the first ones."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One episode as it looks: `frames [time, height, width, 3]`, and the return so far of each."""

    caption: str
    frames: np.ndarray
    returns: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Video:
    """Episodes side by side: `rows` of tasks, in each the same task before and after adapting."""

    rows: tuple[tuple[Panel, ...], ...]
    seconds_per_frame: float
    command: str
    """What makes it anew; goes with the file as its comment."""

    def save(self, path: str | Path) -> None:
        """Write an endless GIF; raises `OSError` where that cannot be."""
        n_frames = max(len(panel.frames) for row in self.rows for panel in row)
        frames = [self.frame(index) for index in range(n_frames)]
        palette = _palette(frames)
        first, *others = [
            frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames
        ]
        first.save(
            path,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=round(1000 * self.seconds_per_frame),
            loop=0,
            comment=self.command.encode(),
            optimize=True,
        )

    def frame(self, index: int) -> Image.Image:
        """All panels at one time; an episode that has ended stays as it was."""
        height, width = PANEL_HEIGHT + CAPTION_HEIGHT + GAP, PANEL_WIDTH + GAP
        columns = max(map(len, self.rows))
        size = (width * columns - GAP, height * len(self.rows) - GAP)
        sheet = Image.new("RGB", size, PAPER)
        canvas = ImageDraw.Draw(sheet)
        font = ImageFont.load_default(12)
        for y, row in enumerate(self.rows):
            for x, panel in enumerate(row):
                at = min(index, len(panel.frames) - 1)
                line, left = y * height + 3, x * width
                told = f"{panel.returns[at]:.1f}"
                canvas.text((left + 2, line), panel.caption, fill=INK, font=font)
                canvas.text((left + PANEL_WIDTH - 2, line), told, fill=INK, font=font, anchor="ra")
                corner = (left, y * height + CAPTION_HEIGHT)
                sheet.paste(Image.fromarray(panel.frames[at]), corner)
        return sheet


def filmed(
    agent: MetaAgent,
    family: TaskFamily,
    tasks: Sequence[Task],
    *,
    episodes: int,
    seed: int,
    command: str,
) -> Video:
    """The agent's most probable actions in `tasks`, before and after `episodes` real episodes.

    Both start from the same state. Neither what is adapted on nor what is shown counts as training.

    Raises `FamilyError` for a family that cannot be seen.
    """
    rows = []
    for task in tasks:
        env = make_visible(family, task)
        try:
            policies = [agent.adapt(env, n, seed=seed, task=task) for n in (0, episodes)]
            names = ("before", f"after {episodes} real episode{'s' if episodes > 1 else ''}")
            every = _steps_per_frame(env, family.horizon)
            rows.append(
                tuple(
                    _panel(
                        env,
                        policy,
                        f"{_told(family, task)}, {name}",
                        seed=seed,
                        horizon=family.horizon,
                        every_steps=every,
                    )
                    for policy, name in zip(policies, names, strict=True)
                )
            )
            time_step = seconds_per_step(env)
        finally:
            env.close()
    return Video(rows=tuple(rows), seconds_per_frame=every * time_step, command=command)


def _panel(
    env: gymnasium.Env,
    policy: AdaptedPolicy,
    caption: str,
    *,
    seed: int,
    horizon: int,
    every_steps: int,
) -> Panel:
    """One episode, cut at the horizon as in adapting: not every `make` has a time limit."""
    frames, returns = [], []
    observation, _ = env.reset(seed=seed)
    total = 0.0
    for step in range(horizon):
        if step % every_steps == 0:
            frames.append(picture(env, width=PANEL_WIDTH, height=PANEL_HEIGHT))
            returns.append(total)
        action, _ = policy.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        if terminated or truncated:
            break
    frames.append(picture(env, width=PANEL_WIDTH, height=PANEL_HEIGHT))
    returns.append(total)
    return Panel(caption=caption, frames=np.stack(frames), returns=np.array(returns))


def _steps_per_frame(env: gymnasium.Env, horizon: int) -> int:
    """As few as smooth motion needs, and no more frames than a file of a few megabytes holds."""
    smooth = round(1.0 / FRAMES_PER_SECOND / seconds_per_step(env))
    return max(1, smooth, -(-horizon // MOST_FRAMES))


def _told(family: TaskFamily, task: Task) -> str:
    """The task by its parameters: what the agent is not told."""
    told = []
    for name, value in list(task.parameters.items())[:NAMED_PARAMETERS]:
        unit = family.parameters[name].unit if name in family.parameters else ""
        shown = value if isinstance(value, str) else f"{value:.2f}"
        told.append(f"{name} {shown}{' ' + unit if unit else ''}")
    return ", ".join(told)


def _palette(frames: Sequence[Image.Image]) -> Image.Image:
    """Colours of the first, the middle and the last frame.

    By octree: the median cut leaves none for a robot that is small before its ground.
    """
    shown = [frames[index] for index in (0, len(frames) // 2, len(frames) - 1)]
    sheet = Image.new("RGB", (shown[0].width, shown[0].height * len(shown)))
    for index, frame in enumerate(shown):
        sheet.paste(frame, (0, index * frame.height))
    return sheet.quantize(colors=COLOURS, method=Image.Quantize.FASTOCTREE)

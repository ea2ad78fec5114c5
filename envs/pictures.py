"""What an environment looks like, also where there is no display and no OpenGL."""

from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task


def make_visible(family: TaskFamily, task: Task) -> gymnasium.Env:
    """One environment of `task` that `picture` can take.

    Raises `FamilyError` for a family that has nothing to show.
    """
    env = family.make(task)
    if _scene(env) is not None:
        return env
    env.close()
    try:
        env = family.make(task, render_mode="rgb_array")
    except (TypeError, FamilyError) as error:
        raise _unseen(family, str(error)) from error
    if env.render_mode != "rgb_array":
        env.close()
        raise _unseen(family, "its environments have no render_mode 'rgb_array'")
    return env


def picture(env: gymnasium.Env, *, width: int, height: int) -> np.ndarray:
    """What a `make_visible` environment looks like now, `[height, width, 3]` uint8.

    MuJoCo's are drawn by this package, the others as they draw themselves, scaled to fit.

    Raises `FamilyError` if the environment misses a package to draw itself with.
    """
    scene = _scene(env)
    if scene is not None:
        from metarl_gan.envs.mujoco.drawing import draw_scene

        return draw_scene(*scene, width=width, height=height)
    try:
        drawn: Any = env.render()
    except gymnasium.error.DependencyNotInstalled as error:
        raise FamilyError(f"{env} cannot be drawn: {error}") from error
    image = Image.fromarray(np.asarray(drawn, np.uint8))
    scale = min(width / image.width, height / image.height)
    size = (round(image.width * scale), round(image.height * scale))
    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(
        image.resize(size, Image.Resampling.LANCZOS),
        ((width - size[0]) // 2, (height - size[1]) // 2),
    )
    return np.asarray(sheet)


def seconds_per_step(env: gymnasium.Env) -> float:
    """How long a step is to who watches: the simulated time of MuJoCo, else as rendered."""
    time_step: float | None = getattr(env.unwrapped, "dt", None) if _scene(env) else None
    return time_step or 1.0 / env.metadata.get("render_fps", 20)


def _scene(env: gymnasium.Env) -> tuple[Any, Any] | None:
    """MuJoCo's model and data, if the environment is one of Gymnasium's on it."""
    physics: Any = env.unwrapped
    model, data = getattr(physics, "model", None), getattr(physics, "data", None)
    return (model, data) if type(model).__name__ == "MjModel" and data is not None else None


def _unseen(family: TaskFamily, why: str) -> FamilyError:
    return FamilyError(f"{family.name} cannot be seen: {why}")

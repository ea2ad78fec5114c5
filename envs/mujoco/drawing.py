"""Pictures of a MuJoCo scene without OpenGL: no display, no driver, the same on every machine.

Rounded bodies as the robots of Gymnasium have them, seen by the model's own camera in perspective,
the far before the near. Other shapes are drawn as the rounded ones nearest to them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

PLANE, SPHERE, CAPSULE, CYLINDER = 0, 2, 3, 5
"""Of `mjtGeom`."""

SKY, TILES = np.array([222, 232, 243]), np.array([[168, 180, 192], [188, 199, 210]])
OUTLINE, LIGHT, SHADOW = 0.45, 1.3, 0.72
"""Brightness of edges, of where light falls, and of the ground under a body."""
TILE_SIZE, TILES_EACH_WAY, NEAREST = 1.0, 14, 0.1
"""Metres of a tile; tiles that are drawn; metres before the camera at which things vanish."""
FINER = 2
"""Pixels drawn for one that is kept, each way: smooth edges."""
DEFAULT_OFFSET = np.array([0.0, -4.0, 1.5])
"""Where the scene is seen from, relative to its centre, if the model has no camera."""


def draw_scene(model: Any, data: Any, *, width: int, height: int) -> np.ndarray:  # noqa: ANN401
    """The scene as the model's first camera sees it, `[height, width, 3]` uint8.

    Args:
        model: `mujoco.MjModel`.
        data: `mujoco.MjData`, after `mj_forward` or a step.
        width: Pixels.
        height: Pixels.
    """
    view = _view(model, data, width * FINER, height * FINER)
    image = Image.new("RGB", (view.width, view.height), tuple(SKY.tolist()))
    canvas = ImageDraw.Draw(image)
    bodies = [body for geom in range(model.ngeom) if (body := _body(model, data, geom)) is not None]
    _draw_ground(canvas, view)
    for body in bodies:
        _draw_rounded(canvas, view, body.shadow(), flat=True)
    for body in sorted(bodies, key=lambda body: -float(view.depth(body.ends).mean())):
        _draw_rounded(canvas, view, body, flat=False)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


@dataclass(frozen=True, kw_only=True)
class _Rounded:
    """All points within `radius` of the line between two `ends [2, 3]`; a sphere's are the same."""

    ends: np.ndarray
    radius: float
    colour: np.ndarray

    def shadow(self) -> "_Rounded":
        """What a light right above leaves on the ground."""
        on_ground = self.ends * (1.0, 1.0, 0.0)
        colour = TILES.mean(axis=0) * SHADOW
        return _Rounded(ends=on_ground, radius=self.radius, colour=colour)


@dataclass(frozen=True, kw_only=True)
class _View:
    """A pinhole camera: where it is, its axes `[right, up, back]` as rows, its focal length."""

    position: np.ndarray
    axes: np.ndarray
    focal_pixels: float
    width: int
    height: int

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Metres before the camera, of `points [..., 3]`."""
        return -(points - self.position) @ self.axes[2]

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Where `points [..., 3]` before the camera are seen, `[..., 2]`."""
        seen = (points - self.position) @ self.axes[:2].T / self.depth(points)[..., None]
        return np.array([self.width, self.height]) / 2 + self.focal_pixels * seen * (1.0, -1.0)


def _view(model: Any, data: Any, width: int, height: int) -> _View:  # noqa: ANN401
    if model.ncam:
        position, axes = data.cam_xpos[0].copy(), data.cam_xmat[0].reshape(3, 3).T
        field_of_view = np.deg2rad(model.cam_fovy[0])
    else:
        centre = data.subtree_com[0]
        position, axes = centre + DEFAULT_OFFSET, _looking_along(-DEFAULT_OFFSET)
        field_of_view = np.deg2rad(model.vis.global_.fovy)
    focal = height / 2 / np.tan(field_of_view / 2)
    return _View(position=position, axes=axes, focal_pixels=focal, width=width, height=height)


def _looking_along(direction: np.ndarray) -> np.ndarray:
    back = -direction / np.linalg.norm(direction)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back])


def _body(model: Any, data: Any, geom: int) -> _Rounded | None:  # noqa: ANN401
    """What is drawn of a geom; nothing of the ground and of what cannot be seen."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    material = int(model.geom_matid[geom])
    rgba = model.geom_rgba[geom] if material < 0 else model.mat_rgba[material]
    if kind == PLANE or rgba[3] == 0:
        return None
    middle = data.geom_xpos[geom]
    if kind in {CAPSULE, CYLINDER}:
        along = data.geom_xmat[geom].reshape(3, 3)[:, 2] * size[1]
        radius = float(size[0])
    else:
        along = np.zeros(3)
        radius = float(size[0]) if kind == SPHERE else float(model.geom_rbound[geom])
    ends = np.stack([middle - along, middle + along])
    return _Rounded(ends=ends, radius=radius, colour=255 * np.asarray(rgba[:3]))


def _draw_ground(canvas: ImageDraw.ImageDraw, view: _View) -> None:
    """Tiles up to the horizon, so that one sees how fast the camera follows."""
    below = view.position * (1.0, 1.0, 0.0) - view.axes[2] * (1.0, 1.0, 0.0) * TILES_EACH_WAY / 2
    x0, y0 = np.floor(below[:2] / TILE_SIZE)
    steps = np.arange(-TILES_EACH_WAY, TILES_EACH_WAY)
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    x, y = (grid.ravel() for grid in np.meshgrid(steps + x0, steps + y0))
    squares = TILE_SIZE * (np.stack([x, y, np.zeros_like(x)], axis=-1)[:, None] + corners)
    far = view.depth(squares)
    for index in np.argsort(-far.mean(axis=1)):
        square = _before_camera(squares[index], far[index])
        if len(square) > 2:
            tile = TILES[int(x[index] + y[index]) % 2]
            hazy = np.clip(far[index].mean() / TILES_EACH_WAY, 0.0, 1.0) ** 2
            colour = _rgb(tile + (SKY - tile) * hazy)
            canvas.polygon([tuple(point) for point in view.pixels(square)], fill=colour)


def _before_camera(square: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """The part of a polygon that is far enough before the camera (Sutherland and Hodgman 1974)."""
    kept = []
    for here, there in zip(range(len(square)), np.roll(range(len(square)), -1), strict=True):
        if depths[here] >= NEAREST:
            kept.append(square[here])
        if (depths[here] >= NEAREST) != (depths[there] >= NEAREST):
            share = (NEAREST - depths[here]) / (depths[there] - depths[here])
            kept.append(square[here] + share * (square[there] - square[here]))
    return np.array(kept)


def _draw_rounded(canvas: ImageDraw.ImageDraw, view: _View, body: _Rounded, *, flat: bool) -> None:
    """Three strokes on one another, an edge, a body and a light; a `flat` one is on the ground."""
    depths = view.depth(body.ends)
    if depths.min() < NEAREST:
        return
    ends = view.pixels(body.ends)
    radius = body.radius * view.focal_pixels / float(depths.mean())
    if flat:
        _stroke(canvas, ends, 0.6 * radius, body.colour)
        return
    _stroke(canvas, ends, radius, body.colour * OUTLINE)
    _stroke(canvas, ends, radius - FINER, body.colour)
    _stroke(canvas, ends - 0.3 * radius, 0.3 * radius, body.colour * LIGHT)


def _stroke(
    canvas: ImageDraw.ImageDraw, ends: np.ndarray, radius: float, colour: np.ndarray
) -> None:
    if radius < 0.5:
        return
    (x0, y0), (x1, y1) = ends
    fill = _rgb(colour)
    canvas.line([(x0, y0), (x1, y1)], fill=fill, width=max(1, round(2 * radius)))
    for x, y in ends:
        canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue

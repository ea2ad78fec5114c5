"""What a point on the plane looks like, for those who watch."""

import numpy as np
from PIL import Image, ImageDraw

SIZE = 240
"""Pixels of the picture's sides."""
HALF_RANGE = 1.3
"""Length units from the origin, in the middle of the picture, to its sides."""
FINER = 3
"""Pixels drawn for one that is kept, each way: smooth edges."""
PAPER, GRID, POINT, GOAL = (246, 247, 249), (222, 226, 231), (0, 114, 178), (213, 94, 0)


def point_picture(position: np.ndarray, goal: np.ndarray, goal_radius: float) -> np.ndarray:
    """The point (blue) and the goal (orange) on a grid of half units, `[SIZE, SIZE, 3]` uint8."""
    side = SIZE * FINER
    image = Image.new("RGB", (side, side), PAPER)
    canvas = ImageDraw.Draw(image)
    scale = side / 2 / HALF_RANGE
    for line in np.arange(-1.0, 1.01, 0.5) * scale + side / 2:
        canvas.line([(line, 0), (line, side)], fill=GRID, width=FINER)
        canvas.line([(0, line), (side, line)], fill=GRID, width=FINER)

    def circle(at: np.ndarray, radius: float, fill: tuple[int, int, int] | None) -> None:
        x, y = side / 2 + scale * at[0], side / 2 - scale * at[1]
        pixels = radius * scale
        box = [x - pixels, y - pixels, x + pixels, y + pixels]
        canvas.ellipse(box, fill=fill, outline=GOAL if fill is None else None, width=2 * FINER)

    circle(goal, goal_radius, None)
    circle(goal, 0.03, GOAL)
    circle(position, 0.06, POINT)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS))

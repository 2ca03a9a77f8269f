"""Panel of a registration: both images, a checkerboard of them, and the edges of one on the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.grid import Grid
from qsmengine.report.canvas import new_figure, text_style, write_png

WHITE, BLACK, EDGE = "#f2f2f2", "#000000", "#ffd43b"
SQUARES = 8
"""Squares of the checkerboard along the longer side."""
LEVEL = 0.15
"""Fraction of the bright end of the window at which edges are drawn."""

Volume = npt.NDArray[np.float32]


def alignment_panel(path: Path, fixed: Volume, moved: Volume, grid: Grid, title: str) -> None:
    """Write a PNG with three slices of two aligned images.

    Columns: fixed image, moved image, checkerboard, outlines of the moved image on the fixed one.

    Parameters
    ----------
    path
        File to write, ending in .png.
    fixed, moved
        (x, y, z) on one grid.
    grid
        Geometry of both.
    title
        Title of the figure.
    """
    names = ("fixed", "moved", "checkerboard", "outlines of moved")
    figure = new_figure(10.0, 8.2, BLACK)
    figure.text(0.02, 0.985, title, **text_style(9, WHITE, ha="left", va="top"))
    images = [_window(image) for image in (fixed, moved)]
    centre = _centre(images[0])
    for row, axis in enumerate((2, 1, 0)):
        a, b = (_plane(image, axis, centre[axis]) for image in images)
        sizes = [size for other, size in enumerate(grid.voxel_edges) if other != axis]
        shown = (a, b, np.where(_squares(a.shape), a, b), a)
        for column, (plane, name) in enumerate(zip(shown, names, strict=True)):
            axes = figure.add_axes((0.01 + 0.2475 * column, 0.02 + 0.305 * (2 - row), 0.2425, 0.295))
            extent = (0.0, plane.shape[0] * sizes[0], 0.0, plane.shape[1] * sizes[1])
            axes.imshow(plane.T, cmap="gray", vmin=0, vmax=1, origin="lower", extent=extent)
            if column == 3 and b.min() < LEVEL < b.max():
                x, y = ((np.arange(n) + 0.5) * size for n, size in zip(b.shape, sizes, strict=True))
                axes.contour(x, y, b.T, levels=[LEVEL, 3 * LEVEL], colors=[EDGE], linewidths=0.5)
            axes.set_axis_off()
            if row == 0:
                axes.set_title(name, **text_style(8, WHITE))
    write_png(figure, path)


def _window(image: Volume) -> Volume:
    low, high = np.percentile(image, (1, 99.5))
    return np.asarray(np.clip((image - low) / max(float(high - low), 1e-12), 0, 1), dtype=np.float32)


def _centre(image: Volume) -> npt.NDArray[np.intp]:
    inside = np.argwhere(image > LEVEL)
    middle = inside.mean(axis=0) if len(inside) else (np.array(image.shape) - 1) / 2
    return np.asarray(np.rint(middle), dtype=np.intp)


def _plane(image: Volume, axis: int, index: int) -> Volume:
    return np.asarray(np.take(image, index, axis=axis))


def _squares(shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    side = max(1, max(shape) // SQUARES)
    x, y = np.indices(shape) // side
    return np.asarray((x + y) % 2 == 0)

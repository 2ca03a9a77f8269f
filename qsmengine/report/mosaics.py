"""Figures of many axial slices: a lightbox of one map, and every echo of a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from qsmengine.report.canvas import new_figure, text_style
from qsmengine.report.figures import headline
from qsmengine.report.frame import Frame
from qsmengine.report.panels import Picture
from qsmengine.report.slices import BLACK, EDGE, OUTLINE, WHITE, colour_map, draw_key

COLUMNS, ROWS = 6, 3
"""Slices of a lightbox."""
ECHOES = 6
"""Largest number of echoes in a row."""
WIDTH, TOP, MARGIN, KEY = 8.6, 0.55, 0.06, 0.95
"""Width of a figure, height of its title, its margin, and width of the colour key [inch]."""
TALLEST = 2.6
"""Largest height of a slice [inch]."""
ENDS = 0.02
"""Share of the voxels of a map that the slices leave out at either end."""
Tile: TypeAlias = tuple[Picture, int]


def draw_lightbox(label: str, picture: Picture, frame: Frame) -> Figure:
    """Return axial slices of a picture at equal distances, from the lowest to the highest."""
    slices = np.rint(np.linspace(*_ends(picture), COLUMNS * ROWS)).astype(int).tolist()
    middle, size = int(frame.voxel(picture)[2]), float(picture.voxel_size[2])
    tiles = [(picture, index) for index in slices]
    names = [f"{(index - middle) * size + frame.point[2]:.0f} mm" for index in slices]
    figure, (axes,) = _figure(label, frame, COLUMNS, [ROWS])
    _key(figure, picture, _montage(axes, tiles, names, COLUMNS, frame), 0.2)
    return figure


def draw_echoes(label: str, rows: Sequence[Sequence[Picture]], names: Sequence[str], frame: Frame) -> Figure:
    """Return the axial slice of every echo; each of `rows` holds the pictures of all echoes.

    The rows of a series with many echoes continue below.
    """
    columns = min(ECHOES, len(names))
    starts = range(0, len(names), columns)
    figure, places = _figure(label, frame, columns, [1] * (len(starts) * len(rows)))
    for block, start in enumerate(starts):
        part = slice(start, start + columns)
        for number, pictures in enumerate(rows):
            tiles = [(picture, int(frame.voxel(picture)[2])) for picture in pictures[part]]
            image = _montage(places[block * len(rows) + number], tiles, names[part], columns, frame)
            if block == 0:
                _key(figure, pictures[0], image, 0.55 - 0.45 * number / max(len(rows) - 1, 1))
    return figure


def _ends(picture: Picture) -> tuple[int, int]:
    """Return the first and last slice of a map without the share `ENDS` of its voxels at either end."""
    shown = np.isfinite(picture.values) & (picture.values != 0)
    filled = np.cumsum(shown.sum(axis=(0, 1), dtype=np.float64))
    if filled[-1] == 0:
        return 0, picture.values.shape[2] - 1
    low, high = np.searchsorted(filled / filled[-1], (ENDS, 1.0 - ENDS))
    return int(low), int(high)


def _figure(label: str, frame: Frame, columns: int, rows: Sequence[int]) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes one below the other, each for some rows of slices."""
    across, up = (float(np.ptp(frame.box[axis])) for axis in (0, 1))
    width = min((WIDTH - 2 * MARGIN - KEY) / columns, TALLEST * across / up)
    height = width * up / across
    total = TOP + sum(rows) * height + MARGIN
    figure, made, top = new_figure(WIDTH, total, BLACK), list[Axes](), total - TOP
    headline(figure, label, frame, MARGIN)
    for count in rows:
        place = (
            MARGIN / WIDTH,
            (top - count * height) / total,
            columns * width / WIDTH,
            count * height / total,
        )
        made.append(figure.add_axes(place))
        top -= count * height
    return figure, made


def _montage(axes: Axes, tiles: Sequence[Tile], names: Sequence[str], columns: int, frame: Frame) -> AxesImage:
    """Draw slices of one map as one image, with the outline of the mask, names, and the patient's right."""
    picture = tiles[0][0]
    across, up = (_inside(picture, axis, frame) for axis in (0, 1))
    rows = -(-len(tiles) // columns)
    shape = rows * (up.stop - up.start), columns * (across.stop - across.start)
    values, mask = np.full(shape, np.nan, np.float32), np.zeros(shape, bool)
    for number, (one, index) in enumerate(tiles):
        row, column = rows - 1 - number // columns, number % columns
        place = _block(up, row), _block(across, column)
        values[place] = one.values[across, up, index][::-1].T
        if one.mask is not None:
            mask[place] = one.mask[across, up, index][::-1].T
        corner = (column + 0.03) / columns, (row + 0.03) / rows
        axes.text(*corner, names[number], transform=axes.transAxes, **_style(va="bottom"))
    low, high = picture.window
    image = axes.imshow(
        values, cmap=colour_map(picture.colours), vmin=low, vmax=high, origin="lower", interpolation="nearest",
        aspect="auto",
    )  # fmt: skip
    if mask.any() and not mask.all():
        axes.contour(mask.astype(np.float32), levels=[0.5], colors=[OUTLINE], linewidths=0.6)
    for column in range(1, columns):
        axes.axvline(column * (across.stop - across.start) - 0.5, color=BLACK, linewidth=1.0)
    for row in range(1, rows):
        axes.axhline(row * (up.stop - up.start) - 0.5, color=BLACK, linewidth=1.0)
    axes.text(0.004, 1.0 - 0.5 / rows, "R", transform=axes.transAxes, **_style(va="center"))
    axes.set_axis_off()
    return image


def _inside(picture: Picture, axis: int, frame: Frame) -> slice:
    """Return the voxels of a picture in the box of a frame."""
    middle, size = int(frame.voxel(picture)[axis]), float(picture.voxel_size[axis])
    low, high = (round(middle + float(edge) / size) for edge in frame.box[axis])
    return slice(max(low, 0), min(high + 1, picture.values.shape[axis]))


def _block(extent: slice, number: int) -> slice:
    length = extent.stop - extent.start
    return slice(number * length, (number + 1) * length)


def _style(**more: Any) -> dict[str, Any]:
    return text_style(7.5, WHITE, ha="left", **more) | {"path_effects": EDGE}


def _key(figure: Figure, picture: Picture, image: AxesImage, bottom: float) -> None:
    """Draw the colour bar of a picture at the right."""
    axes = figure.add_axes((1.0 - 0.8 * KEY / WIDTH, bottom, 0.1 / WIDTH, 0.28))
    draw_key(axes, figure, image, picture)

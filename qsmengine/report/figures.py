"""Overview figures: three orthogonal slices of every map through one point, in radiological orientation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qsmengine.grid import Vector3
from qsmengine.report.canvas import new_figure, text_style, write_png
from qsmengine.report.frame import Frame, frame_of
from qsmengine.report.panels import Panel, Picture, load_picture
from qsmengine.report.slices import BLACK, GREY, VIEWS, WHITE, Reduce, draw_key, draw_slice

Floats: TypeAlias = npt.NDArray[np.float64]

ROW_HEIGHT = 2.3
LEFT, RIGHT, TOP, BOTTOM, GAP = 0.30, 0.95, 0.62, 0.10, 0.06
REDUCTIONS: Mapping[str, Reduce] = {"largest": np.fmax.reduce, "smallest": np.fmin.reduce}
"""Layout of a projection -> its reduction."""


def overview(panels: Sequence[Panel], path: str | Path, title: str, *, centre: Vector3 | None = None) -> None:
    """Write a PNG with a row per panel: axial, coronal and sagittal slices and a colour bar.

    The patient's right is on the left of the axial and coronal slices, anterior on the left of the
    sagittal ones. All rows show the same box in millimetres about the same point. Slices are the voxel
    planes nearest to that point, along the axes of each image; nothing is interpolated.

    Parameters
    ----------
    panels
        Rows, from top to bottom.
    path
        File to write, ending in .png.
    title
        Title of the figure.
    centre
        Point through which the slices pass [mm], scanner coordinates (RAS+). None: the centre of the first
        mask, or of the first image if there is no mask.

    Raises
    ------
    InputError
        When there is no panel, an image cannot be read or shown, or the point lies outside an image.
    """
    write_png(draw_overview(panels, title, centre=centre), path)


def draw_overview(panels: Sequence[Panel], title: str, *, centre: Vector3 | None = None) -> Figure:
    """Return the figure that :func:`overview` writes; same parameters and errors."""
    pictures = [load_picture(panel) for panel in panels]
    return draw_pictures([panel.label for panel in panels], pictures, frame_of(pictures, centre), title)


def draw_pictures(labels: Sequence[str], pictures: Sequence[Picture], frame: Frame, title: str) -> Figure:
    """Return a figure with a row per picture: its three planes through the point of the frame."""
    layout = _Layout.around(frame.box, len(pictures))
    figure = new_figure(layout.width, layout.height, BLACK)
    headline(figure, title, frame, LEFT)
    for row, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
        bottom = layout.height - TOP - (row + 1) * (ROW_HEIGHT + GAP) + GAP
        _draw_row(figure, layout, bottom, label, picture, frame)
    return figure


def draw_planes(label: str, picture: Picture, frame: Frame, layout: str = "planes") -> Figure:
    """Return the three planes of a picture through the point of a frame, with a scale bar.

    `layout` is "planes", or a key of `REDUCTIONS` for the extremes of slabs around the planes.
    """
    places = _Layout.around(frame.box, 1)
    figure = new_figure(places.width, places.height, BLACK)
    headline(figure, label, frame, LEFT)
    _draw_row(figure, places, BOTTOM, "", picture, frame, REDUCTIONS.get(layout))
    _draw_scale(figure, places, float(np.ptp(frame.box[0])))
    return figure


def _draw_scale(figure: Figure, layout: _Layout, extent: float) -> None:
    """Draw a bar of 1, 2 or 5 times a power of ten [mm], at most a third of the first slice's `extent` [mm]."""
    power = 10.0 ** np.floor(np.log10(extent / 3))
    length = max(step * power for step in (1, 2, 5) if step * power <= extent / 3)
    (x0, y), (x1, _) = (layout.at(x, 0.06) for x in (LEFT, LEFT + layout.columns[0] * length / extent))
    figure.add_artist(Line2D([x0, x1], [y, y], color=WHITE, linewidth=1.5))
    x, _ = layout.at(0.05, 0.0)
    figure.text(x1 + x, y, f"{length:g} mm", **text_style(7, WHITE, ha="left", va="center"))


@dataclass(frozen=True)
class _Layout:
    """Size of the figure and widths of its three columns [inch]."""

    width: float
    height: float
    columns: tuple[float, ...]

    @classmethod
    def around(cls, box: Floats, n_rows: int) -> _Layout:
        """Return the layout of `n_rows` rows of slices through a `box` (3, 2) [mm], all at one scale."""
        extents = np.ptp(box, axis=1)
        scale = ROW_HEIGHT / max(float(extents[axes[1]]) for _, _, axes, _ in VIEWS)
        columns = tuple(float(extents[axes[0]]) * scale for _, _, axes, _ in VIEWS)
        return cls(LEFT + sum(columns) + 3 * GAP + RIGHT, TOP + n_rows * (ROW_HEIGHT + GAP) + BOTTOM, columns)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Convert a position in inches from the lower left corner to fractions of the figure."""
        return x / self.width, y / self.height


def _draw_row(
    figure: Figure,
    layout: _Layout,
    bottom: float,
    label: str,
    picture: Picture,
    frame: Frame,
    reduce: Reduce | None = None,
) -> None:
    """Draw label, slices and colour key of one panel; the top row also gets the names of the views."""
    x, y = layout.at(0.5 * LEFT, bottom + ROW_HEIGHT / 2)
    figure.text(x, y, label, **text_style(9, WHITE, rotation=90, ha="center", va="center"))
    left, images, voxel = LEFT, [], frame.voxel(picture)
    for view, span in zip(VIEWS, layout.columns, strict=True):
        axes = _axes(figure, layout, (left, bottom, span, ROW_HEIGHT))
        images.append(draw_slice(axes, picture, voxel, frame.box, view, reduce=reduce))
        if bottom + 2 * ROW_HEIGHT > layout.height:
            x, y = layout.at(left + span / 2, bottom + ROW_HEIGHT + 0.03)
            figure.text(x, y, view[0], **text_style(8, GREY, ha="center", va="bottom"))
        left += span + GAP
    key = _axes(figure, layout, (left + 0.06, bottom + 0.15 * ROW_HEIGHT, 0.11, 0.7 * ROW_HEIGHT))
    draw_key(key, figure, images[-1], picture)


def headline(figure: Figure, title: str, frame: Frame, left: float) -> None:
    """Write title and point of a figure above its slices, `left` inches from its edge."""
    width, height = figure.get_size_inches()
    where = ", ".join(str(round(float(v))) for v in frame.point)
    note = f"through ({where}) mm, patient right on the left"
    x, top = left / width, (height - 0.14) / height
    figure.text(x, top, title, **text_style(11, WHITE, ha="left", va="top", weight="bold"))
    figure.text(x, (height - 0.34) / height, note, **text_style(7, GREY, ha="left", va="top"))


def _axes(figure: Figure, layout: _Layout, inches: tuple[float, float, float, float]) -> Axes:
    axes = figure.add_axes((*layout.at(*inches[:2]), *layout.at(*inches[2:])))
    axes.set_facecolor(BLACK)
    return axes

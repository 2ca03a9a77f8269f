"""Figure of a curve over time, with the voxels it was measured in, from the files of a series."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qsmengine.errors import InputError
from qsmengine.io.nifti import read_image
from qsmengine.report.canvas import new_figure, text_style
from qsmengine.report.panels import to_ras
from qsmengine.report.tsv import read_rows

Floats: TypeAlias = npt.NDArray[np.float64]
WHITE, GREY, BLACK, RED, BLUE = "#f2f2f2", "#9a9a9a", "#000000", "#ff5555", "#6fb7ff"
HEIGHT, WIDTH = 2.6, 9.0
_VIEWS = ((2, "axial"), (0, "sagittal"))
"""Axis along which voxels are projected, and the name of the view."""
_PLACES = ((0.01, 0.05, 0.24, 0.8), (0.26, 0.05, 0.26, 0.8))


class CurvePanel(NamedTuple):
    """Files of a curve.

    Parameters
    ----------
    table
        TSV whose first column is the time [s].
    label, unit
        Of the value.
    voxels
        Mask of the voxels; None: the curve was given.
    under
        Image over whose projection the voxels are shown.
    value
        Column of the value; "" for the second.
    second, second_label
        Further column, drawn on its axis at the right, and its label; "" for none.
    """

    table: Path
    label: str
    unit: str
    voxels: Path | None = None
    under: Path | None = None
    second: str = ""
    second_label: str = ""
    value: str = ""


def draw_curve(panel: CurvePanel, title: str) -> Figure:
    """Return a figure: projections of the voxels over those of an image, and the curve.

    Raises
    ------
    InputError
        For a table or image that cannot be read, and a table without two columns of numbers.
    """
    times, values, second = _columns(panel.table, panel.value, panel.second)
    figure = new_figure(WIDTH, HEIGHT, BLACK)
    figure.text(0.01, 0.96, title, **text_style(10, WHITE, ha="left", va="top", weight="bold"))
    left = 0.08
    if panel.voxels is not None and panel.under is not None:
        _draw_voxels(figure, panel.voxels, panel.under)
        left = 0.6
    axes = figure.add_axes((left, 0.2, 0.98 - left, 0.66))
    dark_axes(axes)
    axes.plot(times, values, color=RED, linewidth=1.2)
    axes.axhline(0.0, color=GREY, linewidth=0.5)
    axes.set_xlabel("time [s]", **text_style(7.5, WHITE))
    axes.set_ylabel(f"{panel.label} [{panel.unit}]", **text_style(7.5, WHITE))
    axes.margins(x=0.0)
    if second is not None:
        _draw_second(axes, times, second, f"{panel.second_label} [{panel.unit}]")
    return figure


def _draw_second(axes: Axes, times: Floats, values: Floats, label: str) -> None:
    """Draw a dashed curve on an axis at the right, whose zero is that of the first."""
    other = second_axes(axes, label)
    other.plot(times, values, color=BLUE, linewidth=1.2, linestyle="--")
    low, high = axes.get_ylim()
    top = max(float(values.max()), 1e-9) * 1.05
    bottom = min(top * low / high if high > 0 else 0.0, float(values.min()))
    other.set_ylim(bottom, top)
    axes.set_ylim(bottom * high / top if high > 0 else low, high)


def second_axes(axes: Axes, label: str) -> Axes:
    """Return further axes with their scale at the right of `axes`, for a blue curve."""
    other: Axes = axes.twinx()
    dark_axes(other)
    other.patch.set_visible(False)
    other.set_ylabel(label, **text_style(7.5, BLUE))
    other.tick_params(axis="y", colors=BLUE)
    return other


def _draw_voxels(figure: Figure, voxels: Path, under: Path) -> None:
    mask, affine = to_ras(*_image(voxels))
    image, _ = to_ras(*_image(under))
    if mask.shape != image.shape:
        raise InputError(f"has shape {mask.shape}, {under} has {image.shape}", source=voxels)
    size = np.linalg.norm(affine[:3, :3], axis=0)
    for (axis, name), place in zip(_VIEWS, _PLACES, strict=True):
        axes = figure.add_axes(place)
        axes.set_axis_off()
        axes.set_title(name, **text_style(7, GREY), pad=2)
        across, up = (a for a in range(3) if a != axis)
        shown = image.mean(axis=axis, dtype=np.float64).T
        axes.imshow(shown, cmap="gray", origin="lower", aspect=float(size[up] / size[across]))
        x, y = np.nonzero((mask > 0.5).any(axis=axis))
        axes.scatter(x, y, s=4, marker="s", color=RED)
        axes.invert_xaxis()


def _image(path: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    found = read_image(path)
    return found.array, found.grid.affine


def _columns(path: Path, value: str, further: str) -> tuple[Floats, Floats, Floats | None]:
    """Return times and values (column `value`) of a table, and its column `further` if it has one."""
    rows = read_rows(path, [value] if value else ())
    names = list(rows[0])[:2] if rows else []
    names = [*names[:1], value] if value else names
    third = None
    try:
        first, second = (np.array([float(row[name]) for row in rows]) for name in names)
        if further and further in rows[0]:
            third = np.array([float(row[further]) for row in rows])
    except ValueError:
        raise InputError("needs two columns of numbers, time [s] and value", source=path) from None
    return first, second, third


def dark_axes(axes: Axes) -> None:
    """Draw the frame and ticks of axes for a dark figure."""
    axes.set_facecolor(BLACK)
    axes.tick_params(colors=WHITE, labelsize=7, length=2, width=0.5, labelfontfamily="DejaVu Sans")
    for spine in axes.spines.values():
        spine.set_edgecolor(GREY)
        spine.set_linewidth(0.5)

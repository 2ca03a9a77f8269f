"""Chart of a series of volumes: a value of each slice of each volume, and curves over the volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from qsmengine.errors import InputError
from qsmengine.modalities.style import VolumeChart
from qsmengine.report.canvas import new_figure, text_style
from qsmengine.report.curves import BLACK, BLUE, RED, WHITE, dark_axes, second_axes
from qsmengine.report.tsv import Row, read_rows

Floats: TypeAlias = npt.NDArray[np.float64]
WIDTH, HEIGHT = 9.0, 4.6
LEFT, ACROSS = 0.075, 0.80
NOTHING = "too few volumes to compare them with the fit"
UNKNOWN, MARK = "#3a3a3a", "#ffd24d"


class Slices(NamedTuple):
    """Values (slice, volume), NaN where unknown, and which slices are marked."""

    values: Floats
    marked: npt.NDArray[np.bool_]


def draw_volumes(chart: VolumeChart, volumes: Path, slices: Path, title: str) -> Figure:
    """Return a figure: b-values, slices of each volume with marks, and two curves over the volumes.

    Raises
    ------
    InputError
        For tables that cannot be read, lack a column, or hold text in place of numbers.
    """
    rows = read_rows(volumes, ("volume", chart.strip, chart.curve, chart.second))
    if not rows:
        raise InputError("has no rows", source=volumes)
    numbers = _column(rows, "volume", volumes)
    found = read_slices(chart, slices, numbers)
    figure = new_figure(WIDTH, HEIGHT, BLACK)
    figure.text(
        0.01, 0.975, f"{title}: {chart.label}", **text_style(10, WHITE, ha="left", va="top", weight="bold")
    )
    places = np.arange(1, len(rows) + 1)
    edges = (0.5, len(rows) + 0.5)
    strip = figure.add_axes((LEFT, 0.885, ACROSS, 0.025))
    _draw_strip(strip, _column(rows, chart.strip, volumes), chart.strip_label)
    axes = figure.add_axes((LEFT, 0.40, ACROSS, 0.475))
    _draw_slices(figure, axes, found, chart)
    curves = figure.add_axes((LEFT, 0.115, ACROSS, 0.235))
    dark_axes(curves)
    values = _column(rows, chart.curve, volumes)
    curves.plot(places, values, color=RED, linewidth=1.2, marker=".", markersize=3)
    curves.set_ylabel(chart.curve_label, **text_style(7.5, RED))
    curves.set_xlabel("volume", **text_style(7.5, WHITE))
    curves.set_ylim(bottom=0.0)
    if not np.isfinite(values).any():
        curves.set_yticks([])
    shifts = _column(rows, chart.second, volumes)
    if np.isfinite(shifts).any():
        other = second_axes(curves, chart.second_label)
        other.plot(places, shifts, color=BLUE, linewidth=1.2, linestyle="--", marker=".", markersize=3)
        other.set_ylim(0.0, max(1.0, 1.1 * float(np.nanmax(shifts))))
    for one in (strip, axes, curves):
        one.set_xlim(edges)
    for whole in (axes.xaxis, *([axes.yaxis] if np.isfinite(found.values).any() else []), curves.xaxis):
        whole.set_major_locator(MaxNLocator(integer=True))
    return figure


def read_slices(chart: VolumeChart, path: Path, numbers: Floats) -> Slices:
    """Return the values and marks of a table with a row per slice and volume; `numbers` are the volumes."""
    rows = read_rows(path, ("volume", "slice", chart.value, chart.mark))
    places = {number: place for place, number in enumerate(numbers.tolist())}
    volume, number = _column(rows, "volume", path), _column(rows, "slice", path)
    value, mark = _column(rows, chart.value, path), _column(rows, chart.mark, path)
    whole = np.isfinite(volume) & np.isfinite(number)
    if not whole.all() or not set(volume.tolist()) <= places.keys() or (number < 1).any():
        raise InputError("names volumes or slices that there are not", source=path)
    across = np.array([places[one] for one in volume.tolist()], dtype=np.intp)
    up = number.astype(np.intp) - 1
    shape = (int(up.max(initial=0)) + 1, len(numbers))
    values, marked = np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_)
    values[up, across], marked[up, across] = value, mark == 1
    return Slices(values, marked)


def _column(rows: Sequence[Row], name: str, path: Path) -> Floats:
    """Return a column of numbers; NaN where it is n/a."""
    try:
        return np.array([np.nan if row[name] == "n/a" else float(row[name]) for row in rows])
    except ValueError:
        raise InputError("not a number", source=path, field=name) from None


def _draw_strip(axes: Axes, values: Floats, label: str) -> None:
    """Draw values as shades of grey."""
    axes.imshow(values[None], cmap="gray", aspect="auto", vmin=0.0, extent=(0.5, len(values) + 0.5, 0.0, 1.0))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_ylabel(label, **text_style(7.5, WHITE, rotation=0, ha="right", va="center"))
    dark_axes(axes)


def _draw_slices(figure: Figure, axes: Axes, found: Slices, chart: VolumeChart) -> None:
    """Draw the known slices of every volume, frames around marked ones, and the colour bar."""
    dark_axes(axes)
    axes.set_facecolor(UNKNOWN)
    slices, volumes = found.values.shape
    limit = chart.limit
    image = axes.imshow(
        found.values, cmap=chart.colours, vmin=-limit, vmax=limit, origin="lower", aspect="auto",
        interpolation="nearest", extent=(0.5, volumes + 0.5, 0.5, slices + 0.5),
    )  # fmt: skip
    frames = [Rectangle((v + 0.5, z + 0.5), 1.0, 1.0) for z, v in np.argwhere(found.marked).tolist()]
    axes.add_collection(PatchCollection(frames, facecolors="none", edgecolors=MARK, linewidths=1.2))
    known = np.flatnonzero(np.isfinite(found.values).any(axis=1))
    if known.size:
        axes.set_ylim(float(known[0]) - 0.5, float(known[-1]) + 2.5)
    else:
        axes.set_yticks([])
        axes.text(0.5, 0.5, NOTHING, transform=axes.transAxes, **text_style(9, WHITE, ha="center", va="center"))
    axes.set_ylabel("slice", **text_style(7.5, WHITE))
    axes.tick_params(labelbottom=False)
    bar = figure.add_axes((0.935, 0.42, 0.012, 0.4))
    dark_axes(bar)
    figure.colorbar(image, cax=bar).ax.set_title(chart.unit, **text_style(7.5, WHITE))
    bar.tick_params(colors=WHITE, labelsize=7)

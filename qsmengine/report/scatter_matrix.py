"""Scatter matrices of a table on disk: rows of outcomes, columns of predictors, a colour per group."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from qsmengine.errors import InputError
from qsmengine.report.canvas import new_figure, text_style, write_png
from qsmengine.report.tsv import read_rows

INK, GREY, PAPER = "#222222", "#777777", "#ffffff"
PANEL, LEFT, BOTTOM, TOP, GAP = 1.75, 0.75, 0.6, 0.75, 0.28
Floats = npt.NDArray[np.float64]


def scatter_matrix(
    table: str | Path,
    path: str | Path,
    title: str,
    *,
    outcomes: Sequence[str],
    predictors: Sequence[Sequence[str]],
    groups: Mapping[str, str],
    by: str = "group",
) -> None:
    """Write a PNG with a panel for every outcome and predictor.

    Every group is shown with points, least-squares line and Pearson r. A row of the table in which one of the
    two values is missing is omitted from the panel.

    Parameters
    ----------
    table
        TSV with a row per participant; units are taken from the .json dictionary of the same name, if any.
    path
        File to write, ending in .png.
    outcomes, predictors
        Column of each row of panels, and the columns across it.
    groups
        Value of column `by` -> colour.

    Raises
    ------
    InputError
        When the table or a column is missing, or a value is not a number.
    """
    with_group, columns = _read(Path(table), [by, *outcomes, *(p for row in predictors for p in row)], by)
    units = _units(Path(table))
    across = max(len(row) for row in predictors)
    width = LEFT + across * (PANEL + GAP)
    height = BOTTOM + TOP + len(outcomes) * (PANEL + GAP)
    figure = new_figure(width, height, PAPER)
    figure.text(LEFT / width, 1 - 0.25 / height, title, **text_style(11, INK, weight="bold", va="center"))
    for i, (group, colour) in enumerate(groups.items()):
        style = text_style(9, colour, weight="bold", va="center")
        figure.text((LEFT + 0.9 * i) / width, 1 - 0.5 / height, group, **style)
    for i, (outcome, row) in enumerate(zip(outcomes, predictors, strict=True)):
        for j, predictor in enumerate(row):
            bottom = height - TOP - (i + 1) * (PANEL + GAP) + GAP
            box = ((LEFT + j * (PANEL + GAP)) / width, bottom / height, PANEL / width, (PANEL - 0.25) / height)
            axes = figure.add_axes(box)
            _panel(axes, columns[predictor], columns[outcome], with_group, groups)
            axes.set_xlabel(_label(predictor, units), labelpad=1.0, **text_style(7.5, INK))
            if j == 0:
                axes.set_ylabel(_label(outcome, units), **text_style(8, INK))
    write_png(figure, path)


def _panel(axes: Axes, x: Floats, y: Floats, group: Sequence[str], groups: Mapping[str, str]) -> None:
    shown = []
    for name, colour in groups.items():
        own = np.array([g == name for g in group]) & np.isfinite(x) & np.isfinite(y)
        axes.plot(x[own], y[own], "o", color=colour, markersize=2.6, alpha=0.7, markeredgewidth=0)
        if own.sum() > 2 and np.ptp(x[own]) > 0:
            ends = np.array([x[own].min(), x[own].max()])
            axes.plot(ends, np.polyval(np.polyfit(x[own], y[own], 1), ends), color=colour, linewidth=1.1)
            shown.append((f"r {np.corrcoef(x[own], y[own])[0, 1]:+.2f}", colour))
    for i, (text, colour) in enumerate(shown):
        style = text_style(6.5, colour, ha="right", va="top")
        axes.text(0.98, 0.98 - 0.1 * i, text, transform=axes.transAxes, **style)
    axes.tick_params(colors=INK, labelsize=6, length=2, width=0.5, pad=1.5, labelfontfamily="DejaVu Sans")
    for name, spine in axes.spines.items():
        spine.set_visible(name in {"left", "bottom"})
        spine.set_color(GREY)
        spine.set_linewidth(0.6)


def _label(name: str, units: Mapping[str, str]) -> str:
    unit = units.get(name, "1")
    return name if unit == "1" else f"{name} [{unit}]"


def _units(table: Path) -> dict[str, str]:
    try:
        dictionary = json.loads(table.with_suffix(".json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: entry["Units"] for name, entry in dictionary.items() if "Units" in entry}


def _read(path: Path, columns: Sequence[str], by: str) -> tuple[list[str], dict[str, Floats]]:
    rows = read_rows(path, columns)
    values = {}
    for name in dict.fromkeys(columns):
        if name == by:
            continue
        try:
            values[name] = np.array([float("nan" if row[name] in {"", "n/a"} else row[name]) for row in rows])
        except ValueError as error:
            raise InputError(str(error), source=path, field=name) from None
    return [row[by] for row in rows], values

"""Agreement of an estimate with the truth per structure, from two region tables on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from qsmengine.errors import InputError
from qsmengine.report.canvas import new_figure, text_style, write_png
from qsmengine.report.tsv import read_rows

INK, GREY, PAPER, GRID_LINE = "#222222", "#777777", "#ffffff", "#e3e3e3"
TRUTH, ESTIMATE = "#9db4c8", "#1f5f99"
MARKERS = {"left": "<", "right": ">", "midline": "o"}
WIDTH, HEIGHT = 10.5, 4.6


@dataclass(frozen=True)
class _Pair:
    """Mean and standard deviation of one structure in both tables."""

    region: str
    hemisphere: str
    truth: float
    truth_sd: float
    estimate: float
    estimate_sd: float


def agreement(
    truth: str | Path,
    estimate: str | Path,
    name: str,
    path: str | Path,
    title: str,
    *,
    group: str | None = None,
) -> None:
    """Write a PNG of the true and estimated means of a map per structure, as scatter plot and bar chart.

    The scatter plot shows each side with the line of identity and the least-squares line. The bars show both
    sides together with the standard deviation over the voxels of the region.

    Parameters
    ----------
    truth, estimate
        Region tables (.tsv with columns ``NAME_mean`` and ``NAME_sd``) with their .json dictionaries.
    name
        Map, as in the column names.
    path
        File to write, ending in .png.
    title
        Title of the figure.
    group
        Only structures of this group of the table.

    Raises
    ------
    InputError
        When a table or its dictionary cannot be read, the units differ, or fewer than two structures have
        a value in both tables.
    """
    units = [_unit(Path(table), f"{name}_mean") for table in (truth, estimate)]
    if units[0] != units[1]:
        raise InputError(f"in {units[1]}, {truth} has {units[0]}", source=estimate, field=f"{name}_mean")
    pairs, n_missing = _pairs(_rows(Path(truth), name, group), _rows(Path(estimate), name, group))
    sides = [pair for pair in pairs if pair.hemisphere in MARKERS]
    whole = [pair for pair in pairs if pair.hemisphere in {"bilateral", "midline"}]
    if len(sides) < 2 or not whole:
        raise InputError(f"fewer than two structures have a {name}_mean in {truth} too", source=estimate)
    unit = "" if units[0] == "1" else f" [{units[0]}]"
    figure = new_figure(WIDTH, HEIGHT, PAPER)
    figure.text(0.06, 0.95, title, **text_style(12, INK, weight="bold", va="center"))
    _scatter(figure.add_axes((0.075, 0.14, 0.36, 0.72)), sides, f"{name}{unit}")
    _bars(figure.add_axes((0.60, 0.14, 0.38, 0.72)), whole, f"{name}{unit}")
    if n_missing:
        note = f"{n_missing} rows without a value in one of the tables are not shown"
        figure.text(0.98, 0.015, note, **text_style(6.5, GREY, ha="right"))
    write_png(figure, path)


def _unit(path: Path, column: str) -> str:
    dictionary = path.with_suffix(".json")
    try:
        entry = json.loads(dictionary.read_text(encoding="utf-8"))[column]
        return str(entry["Units"])
    except FileNotFoundError:
        raise InputError("no such file: the unit of the table is unknown", source=dictionary) from None
    except (ValueError, KeyError, TypeError):
        raise InputError("has no Units", source=dictionary, field=column) from None


def _rows(path: Path, name: str, group: str | None) -> dict[tuple[str, str], tuple[float, float]]:
    """(region, hemisphere) -> mean, sd; NaN for n/a."""
    columns = ("region", "hemisphere", f"{name}_mean", f"{name}_sd", *(["group"] if group else []))
    values = {}
    for row in read_rows(path, columns):
        if group is not None and row["group"] != group:
            continue
        try:
            mean, sd = (float("nan") if row[c] in {"n/a", ""} else float(row[c]) for c in columns[2:4])
        except ValueError as error:
            raise InputError(str(error), source=path, field=f"{name}_mean") from None
        values[row["region"], row["hemisphere"]] = (mean, sd)
    return values


def _pairs(
    truth: dict[tuple[str, str], tuple[float, float]], estimate: dict[tuple[str, str], tuple[float, float]]
) -> tuple[list[_Pair], int]:
    """Return structures with a value in both tables, in the order of the first, and the number of others."""
    pairs = [
        _Pair(*key, *truth[key], *estimate[key])
        for key in truth
        if key in estimate and np.isfinite([truth[key][0], estimate[key][0]]).all()
    ]
    return pairs, len(truth.keys() | estimate.keys()) - len(pairs)


def _scatter(axes: Axes, pairs: list[_Pair], quantity: str) -> None:
    x, y = np.array([p.truth for p in pairs]), np.array([p.estimate for p in pairs])
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.3 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color=GREY, linewidth=0.9, linestyle="--", zorder=1)
    summary = f"RMSE {np.sqrt(np.mean((y - x) ** 2)):.3g}"
    if np.ptp(x) > 0:
        slope, intercept = np.polyfit(x, y, 1)
        line = np.array(limits)
        axes.plot(line, slope * line + intercept, color=ESTIMATE, linewidth=1.0, zorder=2)
        summary += f"\nslope {slope:.3f}, intercept {intercept:.3g}"
    ordered = sorted(pairs, key=lambda p: p.truth)
    first = {pair.region: pair for pair in reversed(ordered)}
    for pair in ordered:
        marker = MARKERS[pair.hemisphere]
        axes.plot(
            pair.truth, pair.estimate, marker, color=ESTIMATE, markersize=6, markeredgecolor=PAPER, zorder=3
        )
    for i, pair in enumerate(sorted(first.values(), key=lambda p: p.truth)):
        above = i % 2 == 1 or i == len(first) - 1
        axes.annotate(
            pair.region,
            (pair.truth, pair.estimate),
            xytext=(-6, 3) if above else (6, -3),
            textcoords="offset points",
            **text_style(6.5, INK, ha="right" if above else "left", va="bottom" if above else "top"),
        )
    axes.text(0.04, 0.96, summary, transform=axes.transAxes, **text_style(8, INK, va="top"))
    note = "triangles point to the side of the brain; dashed: identity"
    axes.text(0.98, 0.02, note, transform=axes.transAxes, **text_style(6, GREY, ha="right"))
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")
    axes.set_xlabel(f"true mean {quantity}", **text_style(8.5, INK))
    axes.set_ylabel(f"estimated mean {quantity}", **text_style(8.5, INK))
    _plain(axes)
    axes.grid(visible=True, color=GRID_LINE, linewidth=0.6)


def _bars(axes: Axes, pairs: list[_Pair], quantity: str) -> None:
    ordered = sorted(pairs, key=lambda p: p.truth)
    y = np.arange(len(ordered))
    series = (
        ("truth", TRUTH, 0.2, [p.truth for p in ordered], [p.truth_sd for p in ordered]),
        ("estimate", ESTIMATE, -0.2, [p.estimate for p in ordered], [p.estimate_sd for p in ordered]),
    )
    for label, colour, shift, means, sds in series:
        axes.barh(y + shift, means, height=0.38, color=colour, label=label, zorder=2)
        spread = np.nan_to_num(sds)
        axes.errorbar(
            means, y + shift, xerr=spread, fmt="none", ecolor=GREY, elinewidth=0.8, capsize=2.0, zorder=3
        )
    axes.axvline(0.0, color=INK, linewidth=0.8, zorder=1)
    axes.set_yticks(y, [p.region for p in ordered])
    axes.set_xlabel(f"mean and SD over voxels, {quantity}", **text_style(8.5, INK))
    axes.legend(frameon=False, loc="lower right", prop={"family": "DejaVu Sans", "size": 8}, labelcolor=INK)
    _plain(axes)
    axes.grid(visible=True, axis="x", color=GRID_LINE, linewidth=0.6, zorder=0)


def _plain(axes: Axes) -> None:
    axes.tick_params(colors=INK, labelsize=7.5, length=2.5, width=0.6, labelfontfamily="DejaVu Sans")
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in {"left", "bottom"})
        spine.set_color(GREY)
        spine.set_linewidth(0.6)

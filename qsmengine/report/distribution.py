"""Distribution of regional values over the sessions of a cohort, and outliers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qsmengine.report.canvas import new_figure, text_style
from qsmengine.report.records import RegionTable

LIMIT = 3.0
"""Scaled median absolute deviations from the median beyond which a value is an outlier."""
LEAST = 5
"""Least number of sessions in which outliers of a region are sought."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution divided by its median absolute deviation."""
INK, GREY, DOT, OUT, BAND = "#222222", "#777777", "#1f5f99", "#b3261e", "#dde7f0"
SIDES = ("bilateral", "midline")
NAMED = 12
"""Number of outliers of a region that are labelled."""


@dataclass(frozen=True)
class Spread:
    """Values of a region over the sessions, and their median and scaled median absolute deviation."""

    region: str
    values: dict[str, float]
    median: float
    deviation: float

    @property
    def outliers(self) -> dict[str, float]:
        """Session -> distance from the median in scaled deviations, for outliers."""
        if len(self.values) < LEAST or self.deviation == 0.0:
            return {}
        far = {key: (value - self.median) / self.deviation for key, value in self.values.items()}
        return {key: distance for key, distance in far.items() if abs(distance) > LIMIT}


@dataclass(frozen=True)
class Distribution:
    """A map's mean (or the volume) in every region; `variant` names the kind of table if there are several."""

    name: str
    unit: str
    regions: tuple[Spread, ...]
    variant: str = ""


def distributions(tables: Iterable[RegionTable]) -> list[Distribution]:
    """Return the means of every map, and the volumes, for both sides together and structures without sides.

    Different segmentations, acquisitions and runs are separate distributions.
    """
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    units: dict[str, str] = {"volume_mm3": "mm^3"}
    for table in tables:
        units |= {f"{name}_mean": table.units.get(f"{name}_mean", "") for name in table.maps}
        columns = found.setdefault(table.variant, {})
        for row in table.rows:
            if row["hemisphere"] not in SIDES:
                continue
            for column in (*(f"{name}_mean" for name in table.maps), "volume_mm3"):
                value = _number(row.get(column, ""))
                if math.isfinite(value):
                    columns.setdefault(column, {}).setdefault(row["region"], {})[table.session] = value
    return [
        Distribution(
            "volume" if column == "volume_mm3" else column.removesuffix("_mean"),
            units.get(column, ""),
            tuple(spread_of(region, values) for region, values in columns[column].items()),
            variant if len(found) > 1 else "",
        )
        for variant, columns in sorted(found.items())
        for column in sorted(columns, key=lambda c: c == "volume_mm3")
    ]


def condensed(table: RegionTable) -> RegionTable:
    """Return a table reduced to the rows and columns that its distributions need."""
    wanted = ("region", "hemisphere", "volume_mm3", *(f"{name}_mean" for name in table.maps))
    rows = (
        {name: row[name] for name in wanted if name in row} for row in table.rows if row["hemisphere"] in SIDES
    )
    units = {name: unit for name, unit in table.units.items() if name in wanted}
    return replace(table, rows=tuple(rows), units=units)


def draw_distribution(distribution: Distribution) -> Figure:
    """Draw a row per region: a dot per session, the median, a band of the limits, labelled outliers."""
    regions = distribution.regions
    figure = new_figure(10.0, 1.1 + 0.34 * len(regions), "#ffffff")
    height = figure.get_figheight()
    axes = figure.add_axes((0.16, 0.62 / height, 0.80, 1.0 - 0.75 / height))
    for row, spread in enumerate(regions):
        _draw_region(axes, len(regions) - 1 - row, spread)
    axes.set_yticks(range(len(regions)), [spread.region for spread in reversed(regions)])
    axes.use_sticky_edges = False
    axes.margins(x=0.04)
    axes.set_ylim(-0.6, len(regions) - 0.4)
    unit = "" if distribution.unit in {"", "1"} else f" [{distribution.unit}]"
    what = "volume" if distribution.name == "volume" else f"mean {distribution.name}"
    axes.set_xlabel(f"{what}{unit}", **text_style(8.5, INK))
    axes.tick_params(colors=INK, labelsize=8, length=2.5, width=0.6, labelfontfamily="DejaVu Sans")
    for name, spine in axes.spines.items():
        spine.set_visible(name in {"left", "bottom"})
        spine.set_color(GREY)
        spine.set_linewidth(0.6)
    axes.grid(visible=True, axis="x", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure


def _draw_region(axes: Axes, y: float, spread: Spread) -> None:
    keys: Sequence[str] = list(spread.values)
    values = np.array([spread.values[key] for key in keys])
    shift = 0.22 * np.sin(np.arange(len(keys)) * 2.4)
    outliers = spread.outliers
    far = np.array([key in outliers for key in keys])
    if len(keys) >= LEAST and spread.deviation > 0:
        half = LIMIT * spread.deviation
        axes.barh(y, 2 * half, left=spread.median - half, height=0.7, color=BAND, zorder=1)
    axes.plot([spread.median] * 2, [y - 0.35, y + 0.35], color=INK, linewidth=1.2, zorder=2)
    axes.plot(values[~far], y + shift[~far], ".", color=DOT, markersize=4, alpha=0.7, zorder=3)
    axes.plot(values[far], y + shift[far], "o", color=OUT, markersize=4, zorder=4)
    named = sorted(outliers, key=lambda key: -abs(outliers[key]))[:NAMED]
    for number, key in enumerate(sorted(named, key=spread.values.__getitem__)):
        place = (spread.values[key], y + float(shift[keys.index(key)]))
        beside = (4, -8 if number % 2 else 3)
        text = axes.annotate(
            key, place, xytext=beside, textcoords="offset points", **text_style(6.5, OUT, ha="left")
        )
        text.set_parse_math(False)


def spread_of(region: str, values: dict[str, float]) -> Spread:
    """Return the spread of the values (session -> value) of a region or measure."""
    array = np.array(list(values.values()))
    median = float(np.median(array))
    return Spread(region, values, median, NORMAL * float(np.median(np.abs(array - median))))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

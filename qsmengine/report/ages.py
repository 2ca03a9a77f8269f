"""Differences of chi between deep grey matter structures against those published for the age, as SVG.

The zero of a map of chi is arbitrary and differs between studies; it cancels in differences of two structures.
They are compared with a prediction and with measurements:

    chi_A - chi_B = s ([Fe]_A(t) - [Fe]_B(t)),   t: age [years]

[Fe]: iron measured post mortem (:mod:`qsmengine.report.iron`); s: slope of chi over iron in grey matter,
`SLOPE` from Langkammer et al. (10.1016/j.neuroimage.2012.05.049), `SLOPES` in the literature. Myelin is left
out. ``data/ages.tsv`` holds means of healthy cohorts, of whole structures and not relative to white matter, as
collected in the literature table of a study at 5 T. They scatter too much for a verdict: regularisation, masks
and outlines differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from qsmengine.report.iron import AGES, CURVES, IronComparison, expected_iron
from qsmengine.report.strips import drawing
from qsmengine.report.tsv import read_rows

SLOPE: Final = 0.89
"""Slope of chi over iron in grey matter post mortem [ppb per mg/kg of wet tissue]."""
SLOPES: Final = (0.56, 1.40)
"""Smallest and largest slope published [ppb per mg/kg]."""
PAIRS: Final = (("pallidum", "caudate"), ("pallidum", "putamen"), ("putamen", "caudate"))
"""Structures whose difference is compared."""
LEFT, TOP, PANEL, GAP, HEIGHT = 40.0, 30.0, 260.0, 50.0, 200.0
"""Left and upper edge of the panels, their width, the space between them, and their height."""


class Study(NamedTuple):
    """Healthy cohort: its ages [years] and the mean chi [ppb] of each structure."""

    reference: str
    doi: str
    participants: int
    youngest: float
    oldest: float
    chi: dict[str, float]

    def difference(self, pair: tuple[str, str]) -> float:
        """Return chi of the first structure above the second [ppb]."""
        return self.chi[pair[0]] - self.chi[pair[1]]


@dataclass(frozen=True)
class Difference:
    """chi of a structure above another [ppb]: in the session, predicted, and in healthy cohorts."""

    pair: tuple[str, str]
    found: float
    predicted: float
    band: tuple[float, float]
    cohorts: tuple[float, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """Row of the table on the page."""
        low, high = (f"{end:.0f}" for end in self.band)
        return (
            f"{self.pair[0]} minus {self.pair[1]}",
            f"{self.found:.0f}",
            f"{self.predicted:.0f}",
            f"{low} to {high}",
            f"{median(self.cohorts):.0f}",
            f"{min(self.cohorts):.0f} to {max(self.cohorts):.0f}",
        )


@cache
def studies() -> tuple[Study, ...]:
    """Return the published cohorts."""
    with resources.as_file(resources.files("qsmengine.report") / "data" / "ages.tsv") as path:
        rows = read_rows(Path(path))
    return tuple(
        Study(
            row["reference"],
            row["doi"],
            int(row["participants"]),
            float(row["youngest"]),
            float(row["oldest"]),
            {name: float(row[f"{name}_ppb"]) for name in CURVES},
        )
        for row in rows
    )


def predicted(pair: tuple[str, str], age: float, slope: float = SLOPE) -> float:
    """Return chi of the first structure above the second [ppb] that the iron at an age predicts."""
    return slope * (expected_iron(pair[0], age) - expected_iron(pair[1], age))


def differences(one: IronComparison) -> tuple[Difference, ...]:
    """Return the differences of a region table, each with the published ones."""
    chi = {point.region: point.chi for point in one.points}
    return tuple(
        Difference(
            pair,
            chi[pair[0]] - chi[pair[1]],
            predicted(pair, one.age),
            (predicted(pair, one.age, SLOPES[0]), predicted(pair, one.age, SLOPES[1])),
            tuple(study.difference(pair) for study in studies()),
        )
        for pair in PAIRS
    )


def ages_title(one: IronComparison) -> str:
    """Return the heading of the comparison."""
    return f"chi between structures at {one.age:g} years, against published values"


def ages_plot(one: IronComparison) -> str:
    """Return an SVG, a panel per pair: prediction over age with its band, healthy cohorts, and the session."""
    rows = differences(one)
    ends = [predicted(pair, AGES[1], slope) for pair in PAIRS for slope in (0.0, SLOPES[1])]
    every = [*ends, *(row.found for row in rows), *(value for row in rows for value in row.cohorts)]
    scale = _Heights(min(every), max(every))
    parts = [part for number, row in enumerate(rows) for part in _panel(row, one.age, scale, number)]
    spoken = "; ".join(
        f"{row.cells[0]}: {row.cells[1]} ppb here, {row.cells[2]} predicted from iron ({row.cells[3]}), "
        f"healthy cohorts {row.cells[5]}"
        for row in rows
    )
    return drawing(TOP + HEIGHT + 40.0, f"{ages_title(one)}. {spoken}", parts)


class _Heights:
    """Vertical axis [ppb] of all panels."""

    def __init__(self, low: float, high: float) -> None:
        self.ticks = [float(tick) for tick in MaxNLocator(6).tick_values(low, high)]

    def __call__(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return TOP + HEIGHT * (high - value) / (high - low)


def _panel(row: Difference, age: float, scale: _Heights, number: int) -> list[str]:
    left = LEFT + number * (PANEL + GAP)

    def across(years: float) -> float:
        return left + PANEL * (years - AGES[0]) / (AGES[1] - AGES[0])

    def place(years: float, value: float) -> str:
        return f"{across(years):.1f} {scale(value):.1f}"

    years = np.linspace(*AGES, 46).tolist()
    low, line, high = (
        [place(t, predicted(row.pair, t, slope)) for t in years] for slope in (SLOPES[0], SLOPE, SLOPES[1])
    )
    parts = [f'<text x="{left:g}" y="16">{escape(row.cells[0])} [ppb]</text>']
    parts.append(f'<path class="band" d="M{"L".join([*low, *reversed(high)])}Z"/>')
    parts += [
        f'<path class="tick" d="M{left:g} {scale(tick):.1f}h{PANEL:g}"/>'
        f'<text class="label" text-anchor="end" x="{left - 5:g}" y="{scale(tick) + 4:.1f}">{tick:g}</text>'
        for tick in scale.ticks
    ]
    parts += [
        f'<text class="label" text-anchor="middle" x="{across(t):.1f}" y="{TOP + HEIGHT + 16:g}">{t}</text>'
        for t in (20, 40, 60, 80, 100)
    ]
    parts.append(f'<path class="median course" d="M{"L".join(line)}"/>')
    parts += [_cohort(study, row.pair, across, scale) for study in studies()]
    x, y = across(age), scale(row.found)
    middle = left + PANEL / 2
    return [
        *parts,
        f'<text class="label" text-anchor="middle" x="{middle:g}" y="{TOP + HEIGHT + 34:g}">age [years]</text>',
        f'<circle class="session" cx="{x:.1f}" cy="{y:.1f}" r="6"><title>{row.found:.0f} ppb</title></circle>',
    ]


def _cohort(study: Study, pair: tuple[str, str], across: Callable[[float], float], scale: _Heights) -> str:
    """Return a bar over the ages of a cohort, at its mean; for a single age, a short one."""
    centre, half = (study.youngest + study.oldest) / 2, max(1.5, (study.oldest - study.youngest) / 2)
    value = study.difference(pair)
    text = f"{study.reference}, {study.participants} participants: {value:.0f} ppb"
    return (
        f'<path class="cohort" d="M{across(centre - half):.1f} {scale(value):.1f}H{across(centre + half):.1f}">'
        f"<title>{escape(text)}</title></path>"
    )

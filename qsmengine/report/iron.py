"""Susceptibility of the deep grey matter against the iron published for the participant's age, as SVG.

Hallgren and Sourander (10.1111/j.1471-4159.1958.tb12607.x) measured non-haem iron post mortem from birth to 100
years and described three structures by curves::

    [Fe](t) = 10 (a (1 - exp(-b t)) + c)   [mg per kg of wet tissue],   t: age [years]

The zero of a map of chi is arbitrary. Compared is therefore the rise s of chi = chi_0 + s [Fe], by least
squares over the structures. If all of the iron is ferritin's, Curie's law for 3.78 Bohr magnetons per atom
(Michaelis, Coryell and Granick 1943) at 310 K and 1.04 kg/L gives s = `FERRITIN`; other iron of the brain is
less magnetic. A steeper rise, or a fall, contradicts the curves: the field strength, echo times or sign are
wrong, or the brain is unlike those measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from math import exp, isfinite
from typing import Final, NamedTuple

import numpy as np

from qsmengine.report.distribution import Floats
from qsmengine.report.records import RegionTable
from qsmengine.report.strips import WIDTH, drawing

FERRITIN: Final = 1.35
"""Rise of chi with the iron of ferritin, mu_0 N mu^2 / (3 k T) with N atoms per volume [ppb per mg/kg]."""
AGES: Final = (10.0, 100.0)
"""Ages [years] of the comparison: before, the structures hold about the same iron; later, none was measured."""
LEFT, RIGHT, TOP, BOTTOM = 50.0, WIDTH - 180.0, 12.0, 216.0
"""Edges of the plot inside its drawing."""


class Curve(NamedTuple):
    """Rise of iron with age: rise a and value at birth c [mg per 100 g], rate b [per year]."""

    rise: float
    rate: float
    birth: float


CURVES: Final = {
    "caudate": Curve(9.66, 0.05, 0.33),
    "putamen": Curve(14.62, 0.04, 0.46),
    "pallidum": Curve(21.41, 0.09, 0.37),
}


class Point(NamedTuple):
    """Structure, its iron expected at the age [mg/kg], and its chi [ppb]."""

    region: str
    iron: float
    chi: float


@dataclass(frozen=True)
class IronComparison:
    """Structures of one region table at an age [years]; `rise` is s [ppb per mg/kg]."""

    table: str
    age: float
    points: tuple[Point, ...]
    rise: float

    @property
    def plausible(self) -> bool:
        """Whether ferritin explains the rise."""
        return 0.0 < self.rise <= FERRITIN


def expected_iron(region: str, age: float) -> float:
    """Return the iron [mg/kg] of a structure of `CURVES` at an age [years]."""
    curve = CURVES[region]
    return 10.0 * (curve.rise * (1.0 - exp(-curve.rate * age)) + curve.birth)


def compared_with_iron(tables: Iterable[RegionTable], age: float | None) -> list[IronComparison]:
    """Return the comparison of every table that has chi [ppm] of all three structures; none without an age."""
    if age is None or not AGES[0] <= age <= AGES[1]:
        return []
    found = []
    for table in tables:
        points = _points(table, age)
        if len(points) == len(CURVES):
            rise = float(np.polyfit([p.iron for p in points], [p.chi for p in points], 1)[0])
            found.append(IronComparison(table.path.name.removesuffix(".tsv"), age, points, rise))
    return found


def _points(table: RegionTable, age: float) -> tuple[Point, ...]:
    """Return the reliable structures, both sides together."""
    if table.units.get("chi_mean") != "ppm":
        return ()
    points = []
    for row in table.rows:
        if row["region"] in CURVES and row["hemisphere"] == "bilateral" and row.get("reliable") != "0":
            try:
                chi = 1000.0 * float(row["chi_mean"])
            except ValueError:
                continue
            if isfinite(chi):
                points.append(Point(row["region"], expected_iron(row["region"], age), chi))
    return tuple(points)


def iron_title(one: IronComparison) -> str:
    """Return the finding as a sentence."""
    verdict = "within" if one.plausible else "outside"
    return (
        f"chi rises by {one.rise:.2f} ppb per mg/kg of the iron published for {one.age:g} years "
        f"(Hallgren and Sourander 1958), {verdict} the 0 to {FERRITIN:g} that ferritin allows"
    )


def iron_plot(one: IronComparison) -> str:
    """Return an SVG: chi over iron, the line fitted, and those of ferritin and of no rise, from one centre."""
    lines = {"ferritin": FERRITIN, "no rise": 0.0, "": one.rise}
    iron = np.array([point.iron for point in one.points])
    chi = np.array([point.chi for point in one.points])
    ends = np.array([iron.min(), iron.max()])
    heights = {name: chi.mean() + rise * (ends - iron.mean()) for name, rise in lines.items()}
    every = np.concatenate([chi, *heights.values()])
    x = LEFT + (RIGHT - LEFT) * (iron - ends[0]) / np.ptp(ends)
    parts = [
        _line(name, _heights(values, every), "whisker" if name else "median")
        for name, values in heights.items()
    ]
    parts += [_dot(*place) for place in zip(one.points, x, _heights(chi, every), strict=True)]
    return drawing(BOTTOM + 44.0, iron_title(one), parts)


def _heights(values: Floats, every: Floats) -> Floats:
    """Return the places of values on the vertical axis that holds every value."""
    found: Floats = TOP + (BOTTOM - TOP) * (every.max() - values) / np.ptp(every)
    return found


def _line(name: str, ends: Floats, style: str) -> str:
    start, end = ends.tolist()
    return (
        f'<path class="{style}" d="M{LEFT:g} {start:.1f}L{RIGHT:g} {end:.1f}"/>'
        f'<text class="label" x="{RIGHT + 8:g}" y="{end + 4:.1f}">{name}</text>'
    )


def _dot(point: Point, x: float, y: float) -> str:
    """Return a structure: dot with its name and chi, and its iron below the plot."""
    below = f'x="{x:.1f}" y="{BOTTOM + 30:g}"'
    return (
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        f'<text x="{x + 9:.1f}" y="{y + 17:.1f}">{escape(point.region)}, {point.chi:.0f} ppb</text>'
        f'<text class="label" text-anchor="middle" {below}>{point.iron:.0f} mg/kg</text>'
    )

"""Strip plots of distributions as SVG: a dot per session that links to its page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

import numpy as np
from matplotlib.ticker import MaxNLocator

from qsmengine.report.distribution import LEAST, LIMIT, Distribution, Spread
from qsmengine.report.pages import shown

WIDTH, LEFT, RIGHT, ROW, AXIS = 940.0, 270.0, 40.0, 30.0, 26.0
"""Widths of the drawing, its labels and its margin; heights of a row and of an axis."""
LINKED = 200
"""Largest number of sessions whose dots are all drawn; beyond it quantiles replace those inside the limits."""
FARTHEST = 100
"""Number of outliers drawn in a row, the farthest first."""
REACH = 10.0
"""Deviations from the median at which the axis ends; values beyond it are drawn at its end."""


class Scale:
    """Linear scale from values to positions; values beyond its ends are drawn at the ends."""

    def __init__(self, low: float, high: float) -> None:
        margin = 0.03 * (high - low) or abs(low) * 0.1 or 1.0
        self.low, self.high = low - margin, high + margin

    def __call__(self, value: float) -> float:
        """Return the position of a value."""
        return LEFT + (WIDTH - LEFT - RIGHT) * self.share(value)

    def share(self, value: float) -> float:
        """Return the position of a value between the ends, 0 to 1."""
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return round values inside the scale."""
        values = MaxNLocator(6).tick_values(self.low, self.high)
        return [float(v) for v in values if self.low <= v <= self.high]


def strips(distribution: Distribution, *, common: bool = True) -> str:
    """Return an SVG with a row per region; `common` draws one axis for all rows, else each has its own."""
    rows, parts, y = distribution.regions, list[str](), 4.0
    shared = scale_of(rows) if common else None
    for spread in rows:
        scale = shared or scale_of([spread])
        parts.append(_row(spread, scale, y))
        y += ROW
        if not common:
            parts.append(axis(scale, y))
            y += AXIS
    if shared is not None:
        parts.append(axis(shared, y))
        y += AXIS
    return drawing(y, distribution.name, parts)


def drawing(height: float, title: str, parts: Sequence[str]) -> str:
    """Return an SVG of the common width."""
    return (
        f'<svg class="strips" viewBox="0 0 {WIDTH:g} {height:g}" role="group" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )


def axis(scale: Scale, y: float) -> str:
    """Return an axis with ticks below the height `y`."""
    ticks = [
        f'<path class="tick" d="M{scale(t):.1f} {y:g}v4"/><text class="label" text-anchor="middle" '
        f'x="{scale(t):.1f}" y="{y + 16:g}">{t:.6g}</text>'
        for t in scale.ticks()
    ]
    return f'<path class="tick" d="M{LEFT:g} {y:g}H{WIDTH - RIGHT:g}"/>' + "".join(ticks)


def scale_of(rows: Sequence[Spread]) -> Scale:
    """Return a scale that holds the values of every row within the reach of its median."""
    ends = []
    for spread in rows:
        values = spread.values.array
        reach = REACH * spread.deviation or float(np.abs(values).max(initial=0.0)) * 2
        near = values[np.abs(values - spread.median) <= reach]
        ends += [float(near.min()), float(near.max())] if near.size else [spread.median]
    return Scale(min(ends), max(ends)) if ends else Scale(0.0, 1.0)


def dot(session: str, text: str, x: float, y: float, style: str, *, reachable: bool) -> str:
    """Return a dot that links to the page of a session and names it."""
    stop = "" if reachable else ' tabindex="-1"'
    return (
        f'<a href="{quote(session)}.html"{stop} aria-label="{escape(session)}">'
        f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{escape(text)}</title></circle></a>'
    )


def _row(spread: Spread, scale: Scale, y: float) -> str:
    middle, outliers = y + ROW / 2, spread.outliers
    parts = [f'<text x="4" y="{middle + 4:g}">{escape(spread.region)}</text>']
    if spread.good is not None:
        low, high = (scale.low, scale.high)
        low, high = (end if e is None else e for e, end in zip(spread.good, (low, high), strict=True))
        parts.append(_bar("good", scale, low, high, y + 3, ROW - 6))
    elif len(spread.values) >= LEAST and spread.deviation > 0 and np.ptp(spread.expected.array) == 0:
        half = LIMIT * spread.deviation
        parts.append(_bar("band", scale, spread.median - half, spread.median + half, y + 3, ROW - 6))
    keys = list(spread.values)
    if len(keys) > LINKED:
        low, first, third, high = np.quantile(spread.values.array, (0.05, 0.25, 0.75, 0.95))
        parts.append(f'<path class="whisker" d="M{scale(low):.1f} {middle:g}H{scale(high):.1f}"/>')
        parts.append(_bar("box", scale, float(first), float(third), middle - 5, 10))
        keys = sorted(outliers, key=lambda key: -abs(outliers[key]))[:FARTHEST]
    parts.append(f'<path class="median" d="M{scale(spread.median):.1f} {y + 3:g}v{ROW - 6:g}"/>')
    for number, key in enumerate(sorted(keys, key=lambda key: key in outliers)):
        value, far = spread.values[key], key in outliers
        text = f"{key}: {shown(str(value))}"
        if key in spread.distances:
            text += f", {spread.distances[key]:+.1f} deviations"
        place = middle + 8 * float(np.sin(number * 2.4))
        parts.append(dot(key, text, scale(value), place, "out" if far else "dot", reachable=far))
    return "".join(parts)


def _bar(style: str, scale: Scale, low: float, high: float, y: float, height: float) -> str:
    left, right = scale(low), scale(high)
    return (
        f'<rect class="{style}" x="{left:.1f}" y="{y:g}" width="{max(right - left, 0.5):.1f}" '
        f'height="{height:g}"/>'
    )

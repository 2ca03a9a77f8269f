"""Regional values of a session compared with its cohort, as SVG: a dot per region in deviations."""

from __future__ import annotations

from html import escape

from qsmengine.report.cohort import Compared, Comparison
from qsmengine.report.distribution import LIMIT
from qsmengine.report.pages import shown
from qsmengine.report.strips import LEFT, RIGHT, WIDTH, drawing

ENDS = 6.0
"""Deviations at the ends of the axis; values beyond are drawn there."""
ROW, AXIS = 20.0, 26.0


def comparison(one: Comparison) -> str:
    """Return an SVG with a row per region: the range of the cohort, and the session's distance from it."""
    bottom = ROW * len(one.rows)
    low, high = _x(-LIMIT), _x(LIMIT)
    parts = [f'<rect class="band" x="{low:.1f}" y="0" width="{high - low:.1f}" height="{bottom:g}"/>']
    parts.append(f'<path class="median" d="M{_x(0.0):.1f} 0v{bottom:g}"/>')
    parts += [_row(row, one.unit, ROW * number) for number, row in enumerate(one.rows)]
    for tick in range(-int(ENDS), int(ENDS) + 1, 2):
        parts.append(f'<path class="tick" d="M{_x(tick):.1f} {bottom:g}v4"/>')
        parts.append(
            f'<text class="label" text-anchor="middle" x="{_x(tick):.1f}" y="{bottom + 16:g}">{tick:+d}</text>'
        )
    return drawing(bottom + AXIS, f"{one.name}: deviations from the cohort", parts)


def comparison_title(one: Comparison) -> str:
    """Return the name of the values, and the number of sessions that they are compared with."""
    kind = f" ({one.variant})" if one.variant else ""
    return f"{one.name}{kind}, deviations from the value expected of {one.sessions} sessions"


def far_from(one: Comparison) -> str:
    """Return the values beyond the limit, the farthest first, as text; "" if there are none."""
    far = sorted((row for row in one.rows if abs(row.distance) > LIMIT), key=lambda row: -abs(row.distance))
    return ", ".join(f"{row.region} {row.distance:+.1f}" for row in far)


def _x(distance: float) -> float:
    within = min(max(distance, -ENDS), ENDS)
    return LEFT + (WIDTH - LEFT - RIGHT) * (within + ENDS) / (2 * ENDS)


def _row(row: Compared, unit: str, y: float) -> str:
    middle, ending = y + ROW / 2, "" if unit in {"", "1"} else f" {unit}"
    value = shown(str(row.value)) + ending
    text = f"{row.region}: {value}, {shown(str(row.expected))} expected, {row.distance:+.1f} deviations"
    style = "out" if abs(row.distance) > LIMIT else "dot"
    return (
        f'<text x="4" y="{middle + 4:g}">{escape(row.region)}</text>'
        f'<text class="label" text-anchor="end" x="{LEFT - 12:g}" y="{middle + 4:g}">'
        f"{escape(value)}</text>"
        f'<circle class="{style}" cx="{_x(row.distance):.1f}" cy="{middle:g}" r="4">'
        f"<title>{escape(text)}</title></circle>"
    )

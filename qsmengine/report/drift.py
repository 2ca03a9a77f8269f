"""Quality measures over time, by scanner: dots, running medians, and shifts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

import numpy as np

from qsmengine.report.covariates import scanner_of
from qsmengine.report.distribution import Distribution, Spread
from qsmengine.report.pages import shown
from qsmengine.report.records import ReconstructedSeries
from qsmengine.report.strips import LINKED, RIGHT, WIDTH, dot, drawing, scale_of

LEFT, HEIGHT, GAP = 60.0, 110.0, 46.0
"""Left end of the time axes, and heights of a panel and of the space below it."""
SCANNERS = 4
"""Number of scanners with a colour; further ones share the last."""
THIRD = 10
"""Least number of sessions in the first and in the last third of a scanner's sessions for a shift."""
NOTABLE = 1.0
"""Shift [deviations] that is reported."""


@dataclass(frozen=True)
class Acquired:
    """Scanner and day of a session, counted from the first session of the cohort."""

    scanner: str
    day: int


@dataclass(frozen=True)
class Shift:
    """Change of a measure on a scanner from the first to the last third of its sessions [deviations]."""

    measure: str
    scanner: str
    sessions: int
    first: str
    last: str
    shift: str
    notable: bool


@dataclass(frozen=True)
class Drift:
    """Drawing of every measure over time, colours of the scanners, and shifts."""

    picture: str
    scanners: tuple[tuple[str, int], ...]
    shifts: tuple[Shift, ...]


def acquired(series: Sequence[ReconstructedSeries], times: Mapping[str, datetime]) -> dict[str, Acquired]:
    """Return scanner and day of the sessions with a time; days count from the first session.

    Dates can identify patients: the page contains none.
    """
    first = min((time.date() for time in times.values()), default=None)
    found: dict[str, Acquired] = {}
    for one in series:
        if first is not None and one.session in times:
            day = (times[one.session].date() - first).days
            found.setdefault(one.session, Acquired(scanner_of(one) or "unknown scanner", day))
    return found


def drift(found: Sequence[Distribution], when: Mapping[str, Acquired]) -> Drift | None:
    """Return the course of the measures that have a good range; None with fewer than two days."""
    if len({one.day for one in when.values()}) < 2:
        return None
    count = Counter(one.scanner for one in when.values())
    names = [name for name, _ in count.most_common()]
    days = [one.day for one in when.values()]
    parts, shifts, y = list[str](), list[Shift](), 22.0
    for distribution in found:
        for spread in distribution.regions:
            if spread.good is None or not any(key in when for key in spread.values):
                continue
            label = f"{distribution.name}: {spread.region}"
            parts.append(_panel(label, spread, when, names, (min(days), max(days)), y))
            shifts += _shifts(label, spread, when, names)
            y += HEIGHT + GAP
    if not parts:
        return None
    shifts.sort(key=lambda one: -abs(float(one.shift)))
    return Drift(
        drawing(y, "quality measures over time", parts),
        tuple((name, min(k, SCANNERS - 1)) for k, name in enumerate(names)),
        tuple(shifts),
    )


def _panel(
    label: str,
    spread: Spread,
    when: Mapping[str, Acquired],
    names: Sequence[str],
    ends: tuple[int, int],
    y: float,
) -> str:
    """Return the drawing of one measure: values upwards, time to the right."""
    scale, length = scale_of([spread]), ends[1] - ends[0]

    def across(day: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (day - ends[0]) / length

    def up(value: float) -> float:
        return y + HEIGHT * (1.0 - scale.share(value))

    parts = [f'<text x="{LEFT:g}" y="{y - 8:g}">{escape(label)}</text>']
    parts.append(f'<path class="tick" d="M{LEFT:g} {y:g}V{y + HEIGHT:g}H{WIDTH - RIGHT:g}"/>')
    label_at = '<text class="label" text-anchor="{}" x="{:.1f}" y="{:.1f}">{}</text>'.format
    parts += [label_at("end", LEFT - 6, up(value) + 4, f"{value:.6g}") for value in scale.ticks()[::2]]
    days = [ends[0] + length * k / 4 for k in range(5)]
    parts += [label_at("middle", across(day), y + HEIGHT + 15, f"day {day:.0f}") for day in days]
    for number, name in enumerate(names):
        keys = [key for key in spread.values if key in when and when[key].scanner == name]
        keys.sort(key=lambda key: when[key].day)
        places = [(across(when[key].day), up(spread.values[key])) for key in keys]
        style = f"scanner-{min(number, SCANNERS - 1)}"
        if len(spread.values) > LINKED:
            parts.append(
                f'<path class="dots {style}" d="{"".join(f"M{a:.0f} {b:.0f}h0" for a, b in places)}"/>'
            )
        else:
            for key, (a, b) in zip(keys, places, strict=True):
                text = f"{key}: {shown(str(spread.values[key]))}, day {when[key].day}, {name}"
                parts.append(dot(key, text, a, b, style, reachable=False))
        parts.append(_course(places, style))
    return "".join(parts)


def _course(places: Sequence[tuple[float, float]], style: str) -> str:
    """Return the running median over a fifth of the sessions, at least five; "" for fewer sessions."""
    width = max(5, len(places) // 5)
    if len(places) < width:
        return ""
    step = max(1, (len(places) - width) // 60)
    middles = [np.median(places[k : k + width], axis=0) for k in range(0, len(places) - width + 1, step)]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in middles)
    return f'<path class="course {style}" d="M{line}"/>'


def _shifts(label: str, spread: Spread, when: Mapping[str, Acquired], names: Sequence[str]) -> list[Shift]:
    """Return the shift of every scanner with enough sessions."""
    found = []
    for name in names:
        keys = [key for key in spread.values if key in when and when[key].scanner == name]
        keys.sort(key=lambda key: when[key].day)
        third = len(keys) // 3
        if third < THIRD or spread.deviation == 0.0:
            continue
        first, last = (
            float(np.median([spread.values[key] for key in part])) for part in (keys[:third], keys[-third:])
        )
        shift = (last - first) / spread.deviation
        texts = shown(str(first)), shown(str(last))
        found.append(Shift(label, name, len(keys), *texts, f"{shift:+.1f}", abs(shift) > NOTABLE))
    return found

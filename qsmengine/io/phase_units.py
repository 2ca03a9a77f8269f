"""Ranges of stored phase and what their values mean.

| range of the values | meaning | phase [rad] |
|---|---|---|
| -pi .. pi | radians | v |
| 0 .. 2 pi | radians | v, minus 2 pi above pi |
| -4096 .. 4095 | Siemens, as dcm2niix writes it | v pi / 4096 |
| 0 .. 4095 | Siemens or Philips, raw | (v - 2048) pi / 2048 |
| -3142 .. 3142 | milliradians (GE, Philips) | v / 1000 |
| stored values -pi .. pi, scaled ones not | radians with a wrong scl_slope | stored value |
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

from qsmengine.errors import InputError
from qsmengine.records import record

PhaseUnits: TypeAlias = str
"""Name of a known range, or the two values that stand for -pi and pi, such as "-180..180"."""
_BOUND = r"[+-]?(?:\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})"
_FIELD_UNITS = ("Hz", "rad/s", "ppm", "T")
_ENDS = re.compile(rf"({_BOUND})\.\.({_BOUND})")
OVERRIDE = (
    "set input.phase_units (phase_units) to rad, stored-rad, rad-0-2pi, siemens, siemens-raw or mrad, or to "
    "the values that stand for -pi and pi, such as -180..180"
)


@record
class PhaseRange:
    """Values of phase in some unit: phase [rad] = factor (value - zero)."""

    units: PhaseUnits
    low: float
    high: float
    factor: float
    zero: float
    meaning: str
    margin: float = 0.1

    def contains(self, low: float, high: float) -> bool:
        """Return whether values between `low` and `high` lie in the range."""
        slack = 1e-3 * (self.high - self.low)
        return low >= self.low - slack and high <= self.high + slack

    def is_filled_by(self, low: float, high: float) -> bool:
        """Return whether such values reach both ends, to within the margin."""
        margin = self.margin * (self.high - self.low)
        return self.contains(low, high) and low <= self.low + margin and high >= self.high - margin


_PI = math.pi
RANGES: dict[PhaseUnits, PhaseRange] = {
    row.units: row
    for row in (
        PhaseRange("rad", -_PI, _PI, 1.0, 0.0, "radians"),
        PhaseRange("rad-0-2pi", 0.0, 2 * _PI, 1.0, 0.0, "radians from 0, 2 pi subtracted above pi"),
        PhaseRange("siemens", -4096.0, 4095.0, _PI / 4096, 0.0, "Siemens units, times pi / 4096"),
        PhaseRange("siemens-raw", 0.0, 4095.0, _PI / 2048, 2048.0, "raw Siemens units, (v - 2048) pi / 2048"),
        PhaseRange("mrad", -3142.0, 3142.0, 1e-3, 0.0, "milliradians", margin=0.005),
    )
}
"""Ranges of scaled values by name."""
STORED = PhaseRange(
    "stored-rad", -_PI, _PI, 1.0, 0.0, "radians as stored; the header's scl_slope is wrong, ignored"
)
"""Range of stored values."""


def is_unit(text: str) -> bool:
    """Return whether a text is the name of a known range or two values that stand for -pi and pi."""
    return text == STORED.units or text in RANGES or _ends(text) is not None


def _ends(units: str) -> tuple[float, float] | None:
    match = _ENDS.fullmatch(units)
    low, high = map(float, match.groups()) if match else (0.0, 0.0)
    return (low, high) if low < high else None


def range_of(units: PhaseUnits) -> PhaseRange | None:
    """Return the range with a name, or that of two values that stand for -pi and pi; None for another text."""
    return STORED if units == STORED.units else RANGES.get(units) or _own_range(units)


def _own_range(units: str) -> PhaseRange | None:
    ends = _ends(units)
    if ends is None:
        return None
    low, high = ends
    factor = 2 * _PI / (high - low)
    return PhaseRange(
        units, low, high, factor, (low + high) / 2, f"{low:g} .. {high:g} for -pi .. pi, on request"
    )


def check_units(unit: str | None, source: object) -> None:
    """Raise InputError if a sidecar's Units are present but neither "rad" nor "arbitrary"."""
    if unit in _FIELD_UNITS:
        raise InputError(
            f"{unit}: this is a field map, not a phase; give the phase of the echoes",
            source=source,
            field="Units",
        )
    if unit not in {None, "rad", "arbitrary"}:
        raise InputError(f"{unit!r} is neither 'rad' nor 'arbitrary'; {OVERRIDE}", source=source, field="Units")

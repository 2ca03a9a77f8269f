"""Checks of the units that the command line states for the inputs of a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qsmengine.errors import UsageError

FIELD_UNITS = ("ppm", "Hz")


def check_units_given(given: Mapping[str, str], fields: Sequence[str]) -> None:
    """Raise UsageError for a unit of anything but a field among the inputs, or other than ppm and Hz."""
    for name, unit in given.items():
        if name not in fields:
            named = ", ".join(sorted(fields)) or "none"
            raise UsageError(f"--unit {name}={unit}: {name} is no field among the inputs; fields: {named}")
        if unit not in FIELD_UNITS:
            raise UsageError(f"--unit {name}={unit}: need ppm or Hz")

"""Bolus series of a session."""

from __future__ import annotations

from collections.abc import Sequence

from qsmengine.io.bids import BidsFile
from qsmengine.modalities.series import PARTS, Series, apart, by_series, doubles, echo_number

STEP = "dsc"
"""Name of the step."""
FIRST, SECOND = "dsc", "second_dsc"
"""Roles of the echoes, in the order of their labels."""
SUFFIXES = ("dsc", "perf", "bold")
"""Suffixes of bolus series in practice; BIDS does not define one yet. ``_bold`` needs the entity `AGENT`."""
AGENT = "ce"
"""Entity of a name that states a contrast agent."""


def group(files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
    """Return the series of a session; ``_bold`` without the entity ``ce`` is functional MRI and not listed."""
    own = [file for file in files if file.name.suffix != "bold" or AGENT in file.name.entities]
    return apart([_series(members) for members in by_series(own, {"echo", "part"})]), []


def _series(files: Sequence[BidsFile]) -> Series:
    parts: dict[str, list[BidsFile]] = {}
    for file in files:
        parts.setdefault(PARTS.get(file.name.entities.get("part", "mag"), "other"), []).append(file)
    used = sorted(parts.get("magnitude", []), key=echo_number)
    unused = ", ".join(file.path for part in parts if part != "magnitude" for file in parts[part])
    notes = [f"{unused}: not used, perfusion needs the magnitude"] if unused and used else []
    problems = [*doubles("dsc", used), *([] if used else [f"{unused}: its magnitude is missing"])]
    if len(used) > 2:
        problems.append(f"{used[2].path}: {len(used)} echoes; a bolus series has one or two")
    roles = {role: (file.path,) for role, file in zip((FIRST, SECOND), used, strict=False)}
    name = files[0].name.derivative(files[0].name.suffix)
    return Series(STEP, name, roles, tuple(problems), tuple(notes))

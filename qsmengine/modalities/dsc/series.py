"""Bolus series of a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qsmengine.io.bids import BidsFile
from qsmengine.modalities.series import PARTS, Series, by_series, doubles, echo_number

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
    return _apart([_series(members) for members in by_series(own, {"echo", "part"})]), []


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


def _apart(series: Sequence[Series]) -> list[Series]:
    """Report series that differ only in their suffix, because their maps would have the same names."""
    first: dict[frozenset[tuple[str, str]], Series] = {}
    found = []
    for one in series:
        entities = frozenset(one.name.entities.items())
        other = first.setdefault(entities, one)
        clash = (
            f"{one.name.filename}: its maps would be named like those of {other.name.filename}; add acq- to one"
        )
        found.append(one if other is one else replace(one, problems=(*one.problems, clash)))
    return found

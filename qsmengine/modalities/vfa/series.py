"""Series with several flip angles of a session."""

from __future__ import annotations

from collections.abc import Sequence

from qsmengine.io.bids import BidsFile
from qsmengine.modalities.series import PARTS, Series, apart, by_series, echo_number

STEP = "vfa"
"""Name of the step."""
FIRST, LATER = "vfa", "later_echoes"
"""Roles of the first echo of every flip angle and of all others."""
SUFFIXES = ("VFA", "MPM")
"""Suffixes of series; of multi-parameter maps the images without magnetisation transfer are used."""
OWN = ("echo", "part", "flip", "mt")
"""Entities in which the images of a series differ."""


def group(files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
    """Return the series of a session; images with magnetisation transfer belong to none."""
    notes = [f"{file.path}: magnetisation transfer, not used" for file in files if _has_transfer(file)]
    used = [file for file in files if not _has_transfer(file)]
    return apart([_series(members) for members in by_series(used, set(OWN))]), notes


def _has_transfer(file: BidsFile) -> bool:
    return file.name.entities.get("mt") == "on"


def _flip(file: BidsFile) -> tuple[int, str]:
    label = file.name.entities.get("flip", "")
    return (int(label) if label.isdecimal() else 0, label)


def _series(files: Sequence[BidsFile]) -> Series:
    used = [file for file in files if PARTS.get(file.name.entities.get("part", "mag")) == "magnitude"]
    used.sort(key=lambda file: (_flip(file), echo_number(file)))
    unused = ", ".join(file.path for file in files if file not in used)
    notes = [f"{unused}: not used, the magnitude is fitted"] if unused and used else []
    problems = [] if used else [f"{unused}: its magnitude is missing"]
    taken: dict[tuple[str, str], BidsFile] = {}
    first: dict[str, BidsFile] = {}
    for file in used:
        flip, echo = (file.name.entities.get(key, "") for key in ("flip", "echo"))
        other = taken.setdefault((flip, echo), file)
        if other is not file:
            problems.append(f"{file.path}: the same flip angle and echo as {other.path}; remove one of them")
        first.setdefault(flip, file)
    if used and len(first) == 1:
        problems.append(f"{used[0].path}: no image with another entity flip; R1 needs two flip angles")
    roles = {
        FIRST: tuple(file.path for file in first.values()),
        LATER: tuple(file.path for file in used if file not in first.values()),
    }
    name = files[0].name.derivative(files[0].name.suffix, drop=OWN)
    kept = {role: paths for role, paths in roles.items() if paths}
    return Series(STEP, name, kept, tuple(problems), tuple(notes))

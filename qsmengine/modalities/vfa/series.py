"""Series with several flip angles of a session."""

from __future__ import annotations

from collections.abc import Sequence

from qsmengine.io.bids import BidsFile
from qsmengine.modalities.series import PARTS, Series, apart, by_series, echo_number
from qsmengine.modalities.vfa.balanced import SUFFIXES as BALANCED_SUFFIXES
from qsmengine.modalities.vfa.balanced import with_balanced
from qsmengine.modalities.vfa.roles import FIRST, LATER, PHASE

STEP = "vfa"
"""Name of the step."""
SUFFIXES = ("VFA", "MPM")
"""Suffixes of series; of multi-parameter maps the images without magnetisation transfer are used."""
OWN = ("echo", "part", "flip", "mt")
"""Entities in which the images of a series differ."""


def group(files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
    """Return the series of a session; images with magnetisation transfer belong to none."""
    notes = [f"{file.path}: magnetisation transfer, not used" for file in files if _has_transfer(file)]
    balanced = [file for file in files if file.name.suffix in BALANCED_SUFFIXES]
    used = [file for file in files if not _has_transfer(file) and file not in balanced]
    found, unused = with_balanced([_series(members) for members in by_series(used, set(OWN))], balanced)
    return apart(found), notes + unused


def _has_transfer(file: BidsFile) -> bool:
    return file.name.entities.get("mt") == "on"


def _flip(file: BidsFile) -> tuple[int, str]:
    label = file.name.entities.get("flip", "")
    return (int(label) if label.isdecimal() else 0, label)


def _series(files: Sequence[BidsFile]) -> Series:
    used = [file for file in files if PARTS.get(file.name.entities.get("part", "mag")) == "magnitude"]
    used.sort(key=lambda file: (_flip(file), echo_number(file)))
    phases = [file for file in files if PARTS.get(file.name.entities.get("part", "mag")) == "phase"]
    unused = ", ".join(file.path for file in files if file not in used and file not in phases)
    notes = [f"{unused}: not used, the magnitude is fitted"] if unused and used else []
    problems = [] if used else [f"{files[0].path}: its magnitude is missing"]
    taken: dict[tuple[str, str], BidsFile] = {}
    first: dict[str, BidsFile] = {}
    for file in used:
        flip, echo = _key(file)
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
    if used and phases and not problems:
        ordered = [file for role in roles for path in roles[role] for file in used if file.path == path]
        roles[PHASE], missing = _phases_of(ordered, phases)
        notes += missing
    name = files[0].name.derivative(files[0].name.suffix, drop=OWN)
    kept = {role: paths for role, paths in roles.items() if paths}
    return Series(STEP, name, kept, tuple(problems), tuple(notes))


def _phases_of(images: Sequence[BidsFile], phases: Sequence[BidsFile]) -> tuple[tuple[str, ...], list[str]]:
    """Return the phases of all images in their order; none, with a note, unless every image has its own."""
    found = {_key(file): file.path for file in phases}
    without = [file.path for file in images if _key(file) not in found]
    if without or len(found) < len(phases):
        what = f"phase of {', '.join(without)} is missing" if without else "two phases of one echo"
        return (), [f"{', '.join(file.path for file in phases)}: not used, {what}"]
    return tuple(found[_key(file)] for file in images), []


def _key(file: BidsFile) -> tuple[str, str]:
    """Return the labels of flip angle and echo."""
    return file.name.entities.get("flip", ""), file.name.entities.get("echo", "")

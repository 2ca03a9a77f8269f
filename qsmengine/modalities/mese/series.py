"""Spin-echo trains of a session."""

from __future__ import annotations

from collections.abc import Sequence

from qsmengine.io.bids import BidsFile
from qsmengine.modalities.series import PARTS, Series, apart, by_series, doubles, echo_number

STEP = "mese"
"""Name of the step."""
IMAGES = "mese"
"""Role of the images."""
SUFFIXES = ("MESE",)
"""Suffix of series."""


def group(files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
    """Return the series of a session."""
    return apart([_series(members) for members in by_series(files, {"echo", "part"})]), []


def _series(files: Sequence[BidsFile]) -> Series:
    used = [file for file in files if PARTS.get(file.name.entities.get("part", "mag")) == "magnitude"]
    used.sort(key=echo_number)
    unused = ", ".join(file.path for file in files if file not in used)
    notes = (f"{unused}: not used, the magnitude is fitted",) if unused and used else ()
    problems = (*doubles("magnitude", used), *(() if used else (f"{unused}: its magnitude is missing",)))
    name = files[0].name.derivative(files[0].name.suffix)
    return Series(STEP, name, {IMAGES: tuple(file.path for file in used)} if used else {}, problems, notes)

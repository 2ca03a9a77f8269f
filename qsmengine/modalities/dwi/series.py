"""Diffusion-weighted images of a session grouped into series."""

from __future__ import annotations

from collections.abc import Sequence

from qsmengine.io.bids import BidsFile
from qsmengine.modalities.series import PARTS, Series, by_series, doubles


def group(files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
    """Return the series of a session; every image belongs to one."""
    return [_dwi_series(members) for members in by_series(files, {"part"})], []


def _dwi_series(files: Sequence[BidsFile]) -> Series:
    parts: dict[str, list[BidsFile]] = {}
    for file in files:
        parts.setdefault(PARTS.get(file.name.entities.get("part", "mag"), "other"), []).append(file)
    used = parts.get("magnitude", [])
    unused = ", ".join(file.path for part in parts if part != "magnitude" for file in parts[part])
    notes = [f"{unused}: not used, the magnitude is fitted"] if unused and used else []
    problems = [*doubles("dwi", used), *([] if used else [f"{unused}: its magnitude is missing"])]
    name = files[0].name.derivative("dwi", drop=("part",))
    return Series("dti", name, {"dwi": tuple(file.path for file in used)}, tuple(problems), tuple(notes))

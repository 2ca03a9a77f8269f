"""Balanced steady states of a session, by their names.

BIDS defines no suffix for them; ``_bSSFP`` is common. Images differ in ``flip``, in ``inc`` (the phase
increment of the pulses [deg]), and in ``part``. They go with the flip angles of the same acquisition and run,
or with the only ones of the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qsmengine.io.bids import BidsFile
from qsmengine.io.bssfp import INCREMENT_ENTITY
from qsmengine.modalities.series import PARTS, Series, by_series
from qsmengine.modalities.vfa.roles import BALANCED, CYCLED, CYCLED_PHASE, SINGLE
from qsmengine.stages.relaxometry.ellipse import FEWEST_INCREMENTS

SUFFIXES = ("bSSFP", "bssfp", "TrueFISP", "FIESTA")
"""Suffixes met in practice, none of them in BIDS."""
OWN = ("flip", "part", INCREMENT_ENTITY)
"""Entities in which the images of a session differ."""


def with_balanced(series: Sequence[Series], files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
    """Return the series with the balanced images that belong to them, and notes on images without a series."""
    found, notes = list(series), []
    for images in by_series(files, set(OWN)):
        paths = ", ".join(file.path for file in images)
        fitting = [k for k, one in enumerate(found) if _matches(one, images[0])] or list(range(len(found)))
        if len(fitting) != 1:
            why = "several series with flip angles" if fitting else "R2 needs the R1 of several flip angles"
            notes.append(f"{paths}: not used, {why}")
            continue
        one = found[fitting[0]]
        if {BALANCED, CYCLED, SINGLE} & one.parts.keys():
            notes.append(f"{paths}: not used, {one.name.filename} has other balanced images")
            continue
        found[fitting[0]] = replace(one, parts={**one.parts, **_parts(images)})
    return found, notes


def _matches(series: Series, image: BidsFile) -> bool:
    kept = {key: label for key, label in image.name.entities.items() if key not in OWN}
    return kept == dict(series.name.entities)


def _parts(images: Sequence[BidsFile]) -> dict[str, tuple[str, ...]]:
    """Return the images by role: complex ones at four increments or more, or magnitudes."""
    parts: dict[str, dict[tuple[str, ...], str]] = {"magnitude": {}, "phase": {}}
    for file in images:
        part = PARTS.get(file.name.entities.get("part", "mag"), "")
        key = tuple(file.name.entities.get(entity, "") for entity in ("flip", INCREMENT_ENTITY))
        parts.setdefault(part, {}).setdefault(key, file.path)
    magnitude, phase = parts["magnitude"], parts["phase"]
    keys = sorted(magnitude)
    paths = tuple(magnitude[key] for key in keys)
    if len(keys) >= FEWEST_INCREMENTS and set(phase) >= set(keys):
        return {CYCLED: paths, CYCLED_PHASE: tuple(phase[key] for key in keys)}
    return {SINGLE if len({flip for flip, _ in keys}) == 1 else BALANCED: paths} if paths else {}

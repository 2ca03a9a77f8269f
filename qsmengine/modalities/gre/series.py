"""Gradient echoes of a session grouped into series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.modalities.series import PARTS, Series, by_series, doubles, echo_number

SUFFIXES = ("MEGRE", "T2starw", "GRE", "swi")
"""Suffixes of raw gradient echoes: two from the specification, two that are common in practice."""


def group(files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
    """Return the series of a session, and notes on images that belong to none."""
    found = [_gre_series(members) for members in by_series(files, {"echo", "part"})]
    complete = any(len(one.parts) > 1 for one in found) and all("magnitude" in one.parts for one in found)
    series = [one for one in found if _is_phase_series(one, beside_complete=complete)]
    notes = []
    for one in found:
        if one not in series:
            notes.append(f"{', '.join(one.parts['magnitude'])}: no phase, not used")
            notes += one.problems
    return _with_distinct_names(_with_candidates(series)), notes


def _is_phase_series(series: Series, *, beside_complete: bool) -> bool:
    """Return whether phase is expected: a lone magnitude is an ordinary image unless it is named MEGRE.

    In a session with complete series and no phase without magnitude, a lone MEGRE magnitude is a processed
    image (combined echoes, unwrapped phase) and is not an error.
    """
    return set(series.parts) != {"magnitude"} or (series.name.suffix == "MEGRE" and not beside_complete)


def _gre_series(files: Sequence[BidsFile]) -> Series:
    parts: dict[str, list[BidsFile]] = {}
    problems, notes = [], []
    for file in files:
        part = file.name.entities.get("part", "mag")
        if part in PARTS:
            parts.setdefault(PARTS[part], []).append(file)
        else:
            problems.append(f"{file.path}: part-{part} is none of {', '.join(PARTS)}")
    for part, members in parts.items():
        parts[part] = sorted(members, key=echo_number)
        problems += doubles(part, parts[part])
    parts, aside = _one_form(parts)
    notes += aside
    if not problems:
        parts, dropped = _paired(parts)
        notes += dropped
    name = files[0].name.derivative(files[0].name.suffix)
    kept = {part: tuple(file.path for file in members) for part, members in parts.items()}
    return Series("qsm", name, kept, tuple(problems), tuple(sorted(notes)))


_CARTESIAN = frozenset({"real", "imag"})


def _one_form(parts: dict[str, list[BidsFile]]) -> tuple[dict[str, list[BidsFile]], list[str]]:
    """Choose magnitude and phase if both exist, else real and imaginary; note the parts that are not used."""
    if {"magnitude", "phase"} <= set(parts):
        kept, reason = set(parts) - _CARTESIAN, "magnitude and phase exist"
    elif set(parts) >= _CARTESIAN:
        kept, reason = set(_CARTESIAN), "real and imaginary parts exist"
    else:
        return parts, []
    aside = [file.path for part in parts if part not in kept for file in parts[part]]
    notes = [f"{', '.join(aside)}: not used, {reason}"] if aside else []
    return {part: files for part, files in parts.items() if part in kept}, notes


def _paired(parts: dict[str, list[BidsFile]]) -> tuple[dict[str, list[BidsFile]], list[str]]:
    """Drop echoes that are missing from another part, if the names contain echo numbers."""
    labels = [{file.name.entities.get("echo") for file in members} for members in parts.values()]
    common = set.intersection(*labels)
    if len(parts) < 2 or not common or None in common:
        return parts, []
    extra = [file for members in parts.values() for file in members if file.name.entities["echo"] not in common]
    notes = [f"{file.path}: left out, its echo lacks another part" for file in extra]
    kept = {part: [file for file in members if file not in extra] for part, members in parts.items()}
    return kept, notes


def _with_candidates(series: list[Series]) -> list[Series]:
    """Add to each series that lacks a part a problem naming the series of the session that have it."""
    done = []
    for one in series:
        lacking = {"magnitude": "phase", "phase": "magnitude", "real": "imag", "imag": "real"}
        missing = lacking[next(iter(one.parts))] if len(one.parts) == 1 else None
        others = [other.parts[missing][0] for other in series if missing in other.parts] if missing else []
        note = f"no {missing} under this name; the session has {', '.join(others)}"
        done.append(replace(one, notes=(*one.notes, note)) if others else one)
    return done


def _with_distinct_names(series: list[Series]) -> list[Series]:
    """Add the suffix to ``acq`` of series that differ only in the suffix, so that their outputs differ."""
    order = sorted(series, key=lambda one: SUFFIXES.index(one.name.suffix))
    taken: set[frozenset[tuple[str, str]]] = set()
    named: dict[int, Series] = {}
    for one in order:
        entities, suffix = dict(one.name.entities), one.name.suffix
        chosen = one
        if frozenset(entities.items()) in taken:
            acquisition = entities.get("acq", "") + suffix
            entities = {**entities, "acq": acquisition}
            note = f"outputs are named acq-{acquisition}: another series has the same entities"
            chosen = replace(one, name=BidsName(entities, suffix), notes=(*one.notes, note))
        while frozenset(chosen.name.entities.items()) in taken:
            longer = chosen.name.entities["acq"] + "x"
            chosen = replace(chosen, name=BidsName({**entities, "acq": longer}, suffix))
        taken.add(frozenset(chosen.name.entities.items()))
        named[id(one)] = chosen
    return [named[id(one)] for one in series]

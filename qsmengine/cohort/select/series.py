"""Images of a session grouped into series: gradient echoes and diffusion, each with its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeAlias

from qsmengine.cohort.select.dataset import BidsFile, SessionFiles
from qsmengine.io.bids import BidsName

SeriesKind: TypeAlias = Literal["qsm", "dti"]

GRE_SUFFIXES = ("MEGRE", "T2starw", "GRE", "swi")
"""Names of raw gradient echoes: two of the specification, two that are met in the wild."""
PARTS = {"mag": "magnitude", "phase": "phase", "real": "real", "imag": "imag"}
_LEFT_ASIDE = {"sbref": "single-band reference", "T1w": "T1-weighted image"}


@dataclass(frozen=True)
class Series:
    """A series of a session.

    Parameters
    ----------
    kind
        What is made of it.
    name
        Name without echo and part, which its outputs and its step are named after.
    parts
        "magnitude", "phase", "real", "imag" or "dwi" -> files, echoes in the order of their labels.
    problems, notes
        What is wrong or was decided, by the names alone.
    """

    kind: SeriesKind
    name: BidsName
    parts: Mapping[str, tuple[str, ...]]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def step_name(self) -> str:
        """The kind with the entities that tell the series from its like."""
        own = [f"{key}-{label}" for key, label in self.name.entities.items() if key not in {"sub", "ses"}]
        return "_".join([self.kind, *own])


def group_series(files: SessionFiles) -> tuple[list[Series], list[str]]:
    """Series of a session, gradient echoes first, and notes on images that belong to none."""
    gre: dict[tuple[object, ...], list[BidsFile]] = {}
    dwi: dict[tuple[object, ...], list[BidsFile]] = {}
    notes = []
    for file in files.files:
        suffix = file.name.suffix
        if suffix in GRE_SUFFIXES:
            gre.setdefault(_key(file.name, {"echo", "part"}), []).append(file)
        elif suffix == "dwi":
            dwi.setdefault(_key(file.name, {"part"}), []).append(file)
        elif suffix in _LEFT_ASIDE:
            notes.append(f"{file.path}: {_LEFT_ASIDE[suffix]}, not used")
    found = [_gre_series(group) for group in gre.values()]
    complete = any(len(one.parts) > 1 for one in found) and all("magnitude" in one.parts for one in found)
    series = [one for one in found if _is_phase_series(one, beside_complete=complete)]
    for one in found:
        if one not in series:
            notes.append(f"{', '.join(one.parts['magnitude'])}: no phase, left aside")
            notes += one.problems
    series = _with_candidates(series)
    return [*_told_apart(series), *map(_dwi_series, dwi.values())], notes


def _key(name: BidsName, without: set[str]) -> tuple[object, ...]:
    kept = {key: label for key, label in name.entities.items() if key not in without}
    return name.suffix, frozenset(kept.items())


def _is_phase_series(series: Series, *, beside_complete: bool) -> bool:
    """Whether phase belongs to it: a lone magnitude is an ordinary image unless it is named MEGRE.

    Beside complete series, and where no phase lacks its magnitude, a lone MEGRE magnitude is a processed image
    (combined echoes, unwrapped phase) and stops nothing.
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
        parts[part] = sorted(members, key=_echo)
        problems += _doubles(part, parts[part])
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
    """Magnitude and phase where both are there, else real and imaginary; what is left aside is noted."""
    if {"magnitude", "phase"} <= set(parts):
        kept, reason = set(parts) - _CARTESIAN, "magnitude and phase are there"
    elif set(parts) >= _CARTESIAN:
        kept, reason = set(_CARTESIAN), "real and imaginary parts are there"
    else:
        return parts, []
    aside = [file.path for part in parts if part not in kept for file in parts[part]]
    notes = [f"{', '.join(aside)}: left aside, {reason}"] if aside else []
    return {part: files for part, files in parts.items() if part in kept}, notes


def _echo(file: BidsFile) -> tuple[int, str]:
    label = file.name.entities.get("echo", "")
    return (int(label) if label.isdecimal() else 0, file.path)


def _doubles(part: str, files: Sequence[BidsFile]) -> Iterable[str]:
    """Two files for one echo of one part: never the first silently."""
    for one, other in pairwise(files):
        if one.name.entities.get("echo") == other.name.entities.get("echo"):
            yield f"{other.path}: the same echo and part ({part}) as {one.path}; remove one of them"


def _paired(parts: dict[str, list[BidsFile]]) -> tuple[dict[str, list[BidsFile]], list[str]]:
    """Parts without echoes that another part lacks, where the names tell the echoes."""
    labels = [{file.name.entities.get("echo") for file in members} for members in parts.values()]
    common = set.intersection(*labels)
    if len(parts) < 2 or not common or None in common:
        return parts, []
    extra = [file for members in parts.values() for file in members if file.name.entities["echo"] not in common]
    notes = [f"{file.path}: left out, its echo lacks another part" for file in extra]
    kept = {part: [file for file in members if file not in extra] for part, members in parts.items()}
    return kept, notes


def _with_candidates(series: list[Series]) -> list[Series]:
    """Series that lack a part say which others of the session have it."""
    done = []
    for one in series:
        lacking = {"magnitude": "phase", "phase": "magnitude", "real": "imag", "imag": "real"}
        missing = lacking[next(iter(one.parts))] if len(one.parts) == 1 else None
        others = [other.parts[missing][0] for other in series if missing in other.parts] if missing else []
        note = f"no {missing} under this name; the session has {', '.join(others)}"
        done.append(replace(one, notes=(*one.notes, note)) if others else one)
    return done


def _told_apart(series: list[Series]) -> list[Series]:
    """Series whose names differ in the suffix alone get it into ``acq``, so that their outputs differ."""
    order = sorted(series, key=lambda one: GRE_SUFFIXES.index(one.name.suffix))
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


def _dwi_series(files: Sequence[BidsFile]) -> Series:
    parts: dict[str, list[BidsFile]] = {}
    for file in files:
        parts.setdefault(PARTS.get(file.name.entities.get("part", "mag"), "other"), []).append(file)
    used = parts.get("magnitude", [])
    unused = ", ".join(file.path for part in parts if part != "magnitude" for file in parts[part])
    notes = [f"{unused}: left aside, the magnitude is fitted"] if unused and used else []
    problems = [*_doubles("dwi", used), *([] if used else [f"{unused}: no magnitude beside it"])]
    name = files[0].name.derivative("dwi", drop=("part",))
    return Series("dti", name, {"dwi": tuple(file.path for file in used)}, tuple(problems), tuple(notes))

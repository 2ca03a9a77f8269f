"""Grouping of a session's images into series, based only on their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from qsmengine.io.bids import BidsFile, BidsName

PARTS = {"mag": "magnitude", "phase": "phase", "real": "real", "imag": "imag"}
"""Label of ``part`` -> role of the file."""


@dataclass(frozen=True)
class Series:
    """Series of a session.

    Parameters
    ----------
    kind
        Name of the step that processes it.
    name
        Name without echo and part, used for its outputs and its step.
    parts
        Role -> files, echoes in the order of their labels.
    problems, notes
        Errors and decisions, based only on the names.
    """

    kind: str
    name: BidsName
    parts: Mapping[str, tuple[str, ...]]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def step_name(self) -> str:
        """Kind and the entities that distinguish the series from others of its kind."""
        own = [f"{key}-{label}" for key, label in self.name.entities.items() if key not in {"sub", "ses"}]
        return "_".join([self.kind, *own])


def by_series(files: Iterable[BidsFile], without: set[str]) -> list[list[BidsFile]]:
    """Group files whose names differ only in the entities `without`."""
    groups: dict[tuple[object, ...], list[BidsFile]] = {}
    for file in files:
        groups.setdefault(series_key(file.name, without), []).append(file)
    return list(groups.values())


def series_key(name: BidsName, without: set[str]) -> tuple[object, ...]:
    """Return the common name of one series."""
    kept = {key: label for key, label in name.entities.items() if key not in without}
    return name.suffix, frozenset(kept.items())


def echo_number(file: BidsFile) -> tuple[int, str]:
    """Return the key that sorts echoes by their label."""
    label = file.name.entities.get("echo", "")
    return (int(label) if label.isdecimal() else 0, file.path)


def doubles(part: str, files: Sequence[BidsFile]) -> Iterable[str]:
    """Report two files for the same echo and part, instead of silently using the first."""
    for one, other in pairwise(files):
        if one.name.entities.get("echo") == other.name.entities.get("echo"):
            yield f"{other.path}: the same echo and part ({part}) as {one.path}; remove one of them"


def apart(series: Sequence[Series]) -> list[Series]:
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

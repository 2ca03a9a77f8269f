"""Results on disk: provenance files with their maps and region tables."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from qsmengine.errors import InputError
from qsmengine.io.sidecars import read_json
from qsmengine.report.tsv import read_rows

_NAME = re.compile(r"(?:(?P<stem>.+)_)?desc-(?P<kind>[0-9A-Za-z]+)_prov\.json")
_SESSION = re.compile(r"(?P<subject>sub-[0-9A-Za-z]+)(?:_.*?)??(?P<session>_ses-[0-9A-Za-z]+)?(?:_|$)")
_KINDS: Mapping[str, type] = {
    "Steps": list,
    "Notes": list,
    "Inputs": list,
    "Software": dict,
    "Acquisition": dict,
}
_NUMBERS = {
    "EchoTimes",
    "MagneticFieldStrength",
    "VoxelSize",
    "FlipAngle",
    "RepetitionTime",
    "BValues",
    "Matrix",
}
_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")


@dataclass(frozen=True)
class ReconstructedSeries:
    """One reconstruction: its session, the common prefix of its file names, its provenance.

    Parameters
    ----------
    session
        ``sub-X`` or ``sub-X_ses-Y``; outside BIDS the common prefix of the files.
    stem
        Prefix of the file names; may be empty.
    kind
        Name of the step.
    folder
        Folder of the files.
    record
        Content of the provenance file.
    """

    session: str
    stem: str
    kind: str
    folder: Path
    record: Mapping[str, Any]

    def file(self, ending: str) -> Path:
        """Return the path of the file with this ending, such as ``Chimap.nii.gz``."""
        return self.folder / (f"{self.stem}_{ending}" if self.stem else ending)

    def find(self, pattern: str) -> Path | None:
        """Return the first file of the series whose ending matches a glob pattern."""
        ending = next((name for name in self._endings if fnmatchcase(name, pattern)), None)
        return None if ending is None else self.file(ending)

    @cached_property
    def _endings(self) -> list[str]:
        """Sorted endings of the series' files.

        Patterns match endings, not whole names: a pattern per session would be compiled anew each time.
        """
        prefix = f"{self.stem}_" if self.stem else ""
        names = os.listdir(self.folder)  # noqa: PTH208
        return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))

    def reduced(self, fields: Container[str]) -> ReconstructedSeries:
        """Return the series with only these fields of its provenance."""
        return replace(self, record={name: self.record[name] for name in self.record if name in fields})

    def sharing(self, known: dict[str, Any]) -> ReconstructedSeries:
        """Return the series with equal fields of its provenance taken from `known`, which grows."""
        record = {name: known.setdefault(repr(value), value) for name, value in self.record.items()}
        return replace(self, record=record)

    @property
    def steps(self) -> tuple[Mapping[str, Any], ...]:
        """Steps in the order in which they ran."""
        return tuple(self.record.get("Steps", ()))

    @property
    def notes(self) -> tuple[str, ...]:
        """Decisions made and faults corrected."""
        return tuple(map(str, self.record.get("Notes", ())))


@dataclass(frozen=True)
class ResultFiles:
    """Provenance files and region tables of a session, not yet read."""

    provenance: tuple[Path, ...] = ()
    tables: tuple[Path, ...] = ()


def find_results(out: str | Path) -> dict[str, ResultFiles]:
    """Return the results below a folder by session: those at its root and in the folders of subjects."""
    found: dict[str, ResultFiles] = {}
    for path in _files(Path(out)):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            key = session_key(match["stem"] or "")
            own = found.get(key, ResultFiles())
            found[key] = replace(own, provenance=(*own.provenance, path))
        elif path.name.endswith("_stats.tsv"):
            key = session_key(path.name)
            own = found.get(key, ResultFiles())
            found[key] = replace(own, tables=(*own.tables, path))
    return found


def _files(out: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(out):
        folders[:] = sorted(f for f in folders if f.startswith("sub-") or root != str(out))
        for name in sorted(names):
            if name.endswith(("_prov.json", "_stats.tsv")):
                yield Path(root, name)


def find_series(out: str | Path) -> tuple[ReconstructedSeries, ...]:
    """Return every reconstruction below a folder of results, sorted by session, stem and kind.

    Raises
    ------
    InputError
        For a provenance file that cannot be read.
    """
    return tuple(s for _, files in sorted(find_results(out).items()) for s in read_series(files.provenance))


def read_series(paths: Iterable[Path]) -> list[ReconstructedSeries]:
    """Read provenance files of one session; returns its reconstructions, sorted by stem and kind.

    Raises
    ------
    InputError
        For a file that cannot be read.
    """
    return sorted(map(_series, paths), key=lambda s: (s.stem, s.kind))


def session_key(name: str) -> str:
    """Return ``sub-X[_ses-Y]`` of a file name; for other names, a text that is safe in a file name."""
    match = _SESSION.match(name)
    if match:
        return match["subject"] + (match["session"] or "")
    return re.sub(r"[^0-9A-Za-z._-]+", "_", name).lstrip("._-") or "maps"


def is_key(text: str) -> bool:
    """Return whether a key is a valid file name: letters, digits, dots, dashes and underscores only."""
    return _KEY.fullmatch(text) is not None and ".." not in text


def _series(path: Path) -> ReconstructedSeries:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise InputError("not the name of a provenance file", source=path)
    stem = match["stem"] or ""
    record = {name: value for name, value in read_json(path).items() if value is not None}
    _check(record, path)
    return ReconstructedSeries(session_key(stem), stem, match["kind"], path.parent, record)


def _check(record: Mapping[str, Any], path: Path) -> None:
    """Check the parts of a provenance file that pages use."""
    for name, kind in _KINDS.items():
        if not isinstance(record.get(name, kind()), kind):
            raise InputError("is not a list" if kind is list else "is not an object", source=path, field=name)
    if not all(isinstance(step, dict) and _is_step(step) for step in record.get("Steps", ())):
        raise InputError("is not a list of steps", source=path, field="Steps")
    if not all(isinstance(entry, dict) for entry in record.get("Inputs", ())):
        raise InputError("is not a list of files", source=path, field="Inputs")
    facts = record.get("Acquisition", {})
    for name in _NUMBERS & set(facts):
        values = facts[name] if isinstance(facts[name], list) else [facts[name]]
        if not all(isinstance(value, int | float) for value in values if value is not None):
            raise InputError(f"{facts[name]!r} is not numeric"[:120], source=path, field=f"Acquisition.{name}")


def _is_step(step: Mapping[str, Any]) -> bool:
    kinds = (step.get("Parameters") or {}, step.get("Solver") or {})
    return isinstance(step.get("Method"), str) and all(isinstance(kind, dict) for kind in kinds)


@dataclass(frozen=True)
class RegionTable:
    """Regional values of a session: rows as text by column, and the unit of each column."""

    path: Path
    session: str
    rows: tuple[Mapping[str, str], ...]
    units: Mapping[str, str]

    @property
    def variant(self) -> str:
        """Name without subject, session and ending: ``seg-first_desc-dgm``."""
        return self.path.name.removesuffix("_stats.tsv").removeprefix(self.session).lstrip("_")

    @cached_property
    def maps(self) -> tuple[str, ...]:
        """Names of the maps with a column of means."""
        columns = self.rows[0] if self.rows else {}
        return tuple(c.removesuffix("_mean") for c in columns if c.endswith("_mean"))


def find_tables(out: str | Path) -> tuple[RegionTable, ...]:
    """Return every ``*_stats.tsv`` of a session below a folder of results.

    Raises
    ------
    InputError
        For a table that cannot be read, or without the columns region and hemisphere.
    """
    return tuple(read_table(path) for _, files in sorted(find_results(out).items()) for path in files.tables)


def read_table(path: Path) -> RegionTable:
    """Read a region table and the units of its columns.

    Raises
    ------
    InputError
        For a table that cannot be read, or without the columns region and hemisphere.
    """
    rows = tuple(read_rows(path, ("region", "hemisphere")))
    try:
        units = _units(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, AttributeError):
        units = {}
    return RegionTable(path, session_key(path.name), rows, units)


@lru_cache(maxsize=16)
def _units(dictionary: str) -> Mapping[str, str]:
    """Return the units in a data dictionary; the tables of a cohort share a few dictionaries."""
    return {name: str(entry.get("Units", "")) for name, entry in json.loads(dictionary).items()}

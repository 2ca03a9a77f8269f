"""Results on disk: provenance files with their maps and region tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qsmengine.errors import InputError
from qsmengine.io.sidecars import read_json
from qsmengine.report.tsv import read_rows

_NAME = re.compile(r"(?:(?P<stem>.+)_)?desc-(?P<kind>[0-9A-Za-z]+)_prov\.json")
_SESSION = re.compile(r"(?P<subject>sub-[0-9A-Za-z]+)(?:_.*?)??(?P<session>_ses-[0-9A-Za-z]+)?(?:_|$)")
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
        "qsm" or "dti".
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
        prefix = f"{self.stem}_" if self.stem else ""
        return next(iter(sorted(self.folder.glob(f"{prefix}{pattern}"))), None)

    @property
    def steps(self) -> tuple[Mapping[str, Any], ...]:
        """Steps in the order in which they ran."""
        return tuple(self.record.get("Steps", ()))

    @property
    def notes(self) -> tuple[str, ...]:
        """Decisions made and faults corrected."""
        return tuple(map(str, self.record.get("Notes", ())))


def find_series(out: str | Path) -> tuple[ReconstructedSeries, ...]:
    """Return every reconstruction below a folder of results, sorted by session, stem and kind.

    Raises
    ------
    InputError
        For a provenance file that cannot be read.
    """
    found = [_series(path) for path in provenance_files(Path(out)) if _NAME.fullmatch(path.name)]
    return tuple(sorted(found, key=lambda s: (s.session, s.stem, s.kind)))


def provenance_files(out: Path) -> Iterator[Path]:
    """Yield the provenance files at the root and in the folders of subjects."""
    yield from sorted(out.glob("*_prov.json"))
    for subject in sorted(out.glob("sub-*")):
        if subject.is_dir():
            yield from sorted(subject.rglob("*_prov.json"))


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
    record = read_json(path)
    steps = record.get("Steps", [])
    if not isinstance(steps, list) or not all(isinstance(s, dict) and "Method" in s for s in steps):
        raise InputError("is not a list of steps", source=path, field="Steps")
    return ReconstructedSeries(session_key(stem), stem, match["kind"], path.parent, record)


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
    out = Path(out)
    files = sorted(p for s in sorted(out.glob("sub-*")) if s.is_dir() for p in s.rglob("*_stats.tsv"))
    return tuple(_table(path) for path in (*sorted(out.glob("*_stats.tsv")), *files))


def _table(path: Path) -> RegionTable:
    rows = tuple(read_rows(path, ("region", "hemisphere")))
    try:
        dictionary = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        units = {name: str(entry.get("Units", "")) for name, entry in dictionary.items()}
    except (OSError, ValueError, AttributeError):
        units = {}
    return RegionTable(path, session_key(path.name), rows, units)

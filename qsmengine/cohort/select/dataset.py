"""Index of a raw BIDS dataset: subjects, sessions and their images, from file names only.

The folders are searched level by level (subject, session, datatype) and no deeper. Links to files are followed
when the files are read, as datalad requires; links to folders only if they stay inside the dataset.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from qsmengine.errors import InputError, UsageError
from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.modalities.registry import outside_bids

IMAGES = (".nii.gz", ".nii")
OTHER_DATATYPES = frozenset({"fmap", "pet", "eeg", "ieeg", "meg", "nirs", "beh", "motion", "micr", "mrs"})
"""Datatypes whose folders are not searched; other names are, since real datasets deviate from BIDS."""
FUNCTIONAL, WITH_AGENT = "func", "_ce-"
"""Datatype of which only images with a contrast agent are read, and the part of a name that states one."""

_SUBJECT = re.compile(r"sub-[0-9A-Za-z]+")
_SESSION = re.compile(r"ses-[0-9A-Za-z]+")


@dataclass(frozen=True)
class SessionFiles:
    """Images of one session, sorted by name.

    `notes` lists what was left out, with reasons. `unreadable` maps the folders (POSIX, relative to the
    dataset) that could not be read to the reason; their contents are unknown. `borrowed` are images of another
    session of the subject that stand in for those that this one lacks.
    """

    subject: str
    session: str | None
    files: tuple[BidsFile, ...]
    notes: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    borrowed: tuple[BidsFile, ...] = ()

    @property
    def folder(self) -> str:
        """Folder of the session, relative to the dataset."""
        return f"sub-{self.subject}" + ("" if self.session is None else f"/ses-{self.session}")


@dataclass(frozen=True)
class Ignored:
    """Patterns of a dataset's .bidsignore, in simple gitignore syntax: globs, ``folder/``, comments.

    Parameters
    ----------
    patterns
        One per line of the file.
    unread
        Unsupported lines (negations), which have no effect.
    """

    patterns: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Path) -> Ignored:
        """Return the patterns of the dataset's file; none if there is no file."""
        try:
            text = (root / ".bidsignore").read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            return cls()
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        return cls(
            tuple(line for line in lines if not line.startswith("!")),
            tuple(line for line in lines if line.startswith("!")),
        )

    def matches(self, path: str, outside: Collection[str] = ()) -> bool:
        """Return whether a file (POSIX path relative to the dataset) or a folder above it is ignored.

        Patterns that name a suffix `outside` BIDS are for the validator and do not count.
        """
        counted = [p for p in self.patterns if not any(f"_{suffix}" in p for suffix in outside)]
        return any(_matches(pattern, path) for pattern in counted)


def _matches(pattern: str, path: str) -> bool:
    anchored = "/" in pattern.rstrip("/")
    globs = pattern.strip("/").split("/")
    return _begins(path.split("/"), globs if anchored else ["**", *globs], folder=pattern.endswith("/"))


def _begins(parts: list[str], globs: list[str], *, folder: bool) -> bool:
    """Return whether the first parts of a path match the globs; for a `folder`, all parts but the last."""
    if not globs:
        return bool(parts) or not folder
    first, *rest = globs
    if first == "**":
        return any(_begins(parts[skip:], rest, folder=folder) for skip in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], first) and _begins(parts[1:], rest, folder=folder)


def list_subjects(root: Path) -> tuple[list[str], list[str]]:
    """Return the sorted labels of the subjects in a dataset, and notes on entries that are not subjects.

    Raises
    ------
    UsageError
        If the dataset is not a folder or holds no subject.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder")
    labels: list[str] = []
    notes: list[str] = []
    for entry in _entries(root, root, notes):
        if not entry.name.startswith("sub-"):
            continue
        if not _is_folder(entry):
            hint = ": a broken link" if entry.is_symlink() else ""
            notes.append(f"{shown(entry.name)}: not a folder{hint}, left out")
        elif not _SUBJECT.fullmatch(entry.name):
            notes.append(f"{shown(entry.name)}: labels are letters and digits only; left out")
        elif not _inside(entry, root):
            notes.append(f"{entry.name}: a link out of the dataset, not followed")
        else:
            labels.append(entry.name.removeprefix("sub-"))
    if not labels:
        more = f" ({'; '.join(notes)})" if notes else ""
        raise UsageError(f"{root}: no folder sub-*: not a BIDS dataset{more}")
    return labels, notes


def scan_subject(root: Path, subject: str, ignored: Ignored) -> list[SessionFiles]:
    """Return the sessions of a subject with their images; without ``ses-*`` folders it is one session."""
    folder = root / f"sub-{subject}"
    notes: list[str] = []
    sessions = []
    for entry in _listed(folder, root, notes):
        if entry.name.startswith("ses-") and _SESSION.fullmatch(entry.name):
            sessions.append(entry.name)
        elif entry.name.startswith("ses-"):
            notes.append(f"sub-{subject}/{shown(entry.name)}: labels are letters and digits only; left out")
    whole = _scan(root, folder, subject, None, ignored)
    scanned = [_scan(root, folder / name, subject, name.removeprefix("ses-"), ignored) for name in sessions]
    if whole.files or not sessions:
        scanned.insert(0, whole)
    notes = [*notes, *whole.notes, *scanned[0].notes]
    return [replace(scanned[0], notes=tuple(dict.fromkeys(notes))), *scanned[1:]]


def shown(name: str) -> str:
    """Return a file name for messages, quoted and escaped unless it is plain text."""
    return name if name.isprintable() else ascii(name)


def _scan(root: Path, folder: Path, subject: str, session: str | None, ignored: Ignored) -> SessionFiles:
    files: list[BidsFile] = []
    notes: list[str] = []
    unreadable: dict[str, str] = {}
    left_out = 0
    for datatype, filename in _images(root, folder, notes, unreadable):
        path = f"{folder.relative_to(root).as_posix()}/{datatype}/{filename}"
        if ignored.matches(path, outside_bids()):
            left_out += 1
            continue
        try:
            name = BidsName.parse(filename)
        except InputError as error:
            notes.append(f"{shown(path)}: {shown(error.message)}; left out")
            continue
        if (name.entities.get("sub"), name.entities.get("ses")) != (subject, session):
            notes.append(f"{path}: the name belongs to another subject or session; left out")
            continue
        files.append(BidsFile(path, name, datatype))
    if left_out:
        notes.append(f"{left_out} images left out by .bidsignore")
    return SessionFiles(subject, session, tuple(files), tuple(notes), unreadable)


def _images(
    root: Path, folder: Path, notes: list[str], unreadable: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the folder and name of each image below a session's folder."""
    for place in _listed(folder, root, notes):
        if place.name in OTHER_DATATYPES or place.name.startswith(("ses-", ".")):
            continue
        try:
            entries = _sorted_entries(Path(place.path))
        except OSError as error:
            path = Path(place.path).relative_to(root).as_posix()
            unreadable[path] = f"{shown(path)}: cannot be read: {error.strerror}"
            continue
        for entry in entries:
            listed = place.name != FUNCTIONAL or WITH_AGENT in entry.name
            if listed and entry.name.endswith(IMAGES) and not entry.name.startswith("."):
                yield place.name, entry.name


def _listed(folder: Path, root: Path, notes: list[str]) -> list[os.DirEntry[str]]:
    """Return the folders in a folder; links that lead out of the dataset are noted instead."""
    found = []
    for entry in _entries(folder, root, notes):
        if not _is_folder(entry):
            continue
        if _inside(entry, root):
            found.append(entry)
        else:
            path = Path(entry.path).relative_to(root).as_posix()
            notes.append(f"{shown(path)}: a link out of the dataset, not followed")
    return found


def _inside(entry: os.DirEntry[str], root: Path) -> bool:
    """Return whether a folder lies in the dataset after links have been resolved."""
    return not entry.is_symlink() or Path(entry.path).resolve().is_relative_to(root.resolve())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; False for a link that cannot be followed."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: Path, root: Path, notes: list[str]) -> list[os.DirEntry[str]]:
    """Return a folder's entries sorted by name; if it cannot be read, none, and a note is added."""
    try:
        return _sorted_entries(folder)
    except OSError as error:
        notes.append(f"{shown(folder.relative_to(root).as_posix())}: cannot be read: {error.strerror}")
        return []


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)

"""Segmentations and R2 maps of a subject in derivatives: which they are, and which table names their labels.

An image is used where it is on the grid of a series; nothing is resampled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias

from qsmengine.cohort.select.dataset import IMAGES
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsName
from qsmengine.io.header import read_header
from qsmengine.io.inheritance import Folders, find_inherited, image_stem
from qsmengine.stats.labels.tables import LABEL_TABLES

Role: TypeAlias = Literal["labels", "r2"]

_KNOWN = (
    (re.compile(r"synthseg", re.IGNORECASE), "synthseg"),
    (re.compile(r"firstseg$", re.IGNORECASE), "fsl-first"),
    (re.compile(r"(^|_|desc-)(aparc[+.]?[\w.+]*)?aseg(_dseg)?$", re.IGNORECASE), "freesurfer-aseg"),
)
"""What is in the stem of an image -> built-in table of its labels."""


@dataclass(frozen=True)
class Segmentation:
    """An image of a subject's derivatives that a step can use.

    Parameters
    ----------
    role
        "labels" or "r2".
    path
        POSIX, relative to the dataset; absolute where it is elsewhere.
    grid
        Its geometry.
    label
        Letters and digits that tell it from others of the session.
    lut
        Table of its labels: a built-in name, or a file like `path`; None where there is none.
    """

    role: Role
    path: str
    grid: Grid
    label: str
    lut: str | None = None

    def on(self, grid: Grid) -> bool:
        """Whether its voxels are those of `grid`."""
        return self.grid.matches(grid)


class Derivatives:
    """Derivative datasets beside a raw one.

    Parameters
    ----------
    root
        Raw dataset: every folder of its ``derivatives`` is searched but `out` and what holds it.
    out
        Folder of this cohort's outputs.
    given
        More datasets.
    lut
        Table for segmentations that come without one.

    Raises
    ------
    UsageError
        For a folder in `given` that does not exist or has no ``sub-*``.
    """

    def __init__(self, root: Path, out: Path, given: Sequence[Path], lut: str | None) -> None:
        self._root, self._folders = root, Folders()
        self._lut = lut if lut is None or lut in LABEL_TABLES else str(Path(lut).absolute())
        self.notes: list[str] = []
        found = [*self._of_dataset(out), *given]
        once = {folder.resolve(): folder for folder in reversed(found)}
        self._datasets = [(folder, _subject_folders(folder)) for folder in reversed(once.values())]
        for folder in given:
            if not _subject_folders(folder):
                problem = "has no folder sub-*" if folder.is_dir() else "no such folder"
                raise UsageError(f"--derivatives {folder}: {problem}")

    def find(self, subject: str, session: str | None) -> tuple[list[Segmentation], list[str]]:
        """Images of a session, those for the whole subject included, and notes on what cannot be used."""
        found: list[Segmentation] = []
        notes: list[str] = []
        for folder, names in self._datasets:
            for place in _places(folder, names, subject, session):
                for path in _files(place):
                    try:
                        image = self._recognise(path, folder)
                    except InputError as error:
                        notes.append(str(error).replace(f"{self._root}/", ""))
                        continue
                    found += [] if image is None else [_told_apart(image, found)]
        return found, notes

    def _of_dataset(self, out: Path) -> Iterator[Path]:
        """Folders below ``derivatives`` that are no outputs of this cohort."""
        place = self._root / "derivatives"
        for folder in sorted(place.iterdir()) if place.is_dir() else ():
            if not folder.is_dir() or out.resolve().is_relative_to(folder.resolve()):
                continue
            if folder.is_symlink() and not folder.resolve().is_relative_to(self._root.resolve()):
                self.notes.append(
                    f"{folder.name}: a link out of the dataset; name it with --derivatives to use it"
                )
                continue
            yield folder

    def _recognise(self, path: Path, dataset: Path) -> Segmentation | None:
        stem = image_stem(path.name)
        if path.suffix == ".mgz":
            if stem == "aseg":
                raise InputError("MGZ is not read: convert it to NIfTI on the grid of the series", source=path)
            return None
        is_r2 = stem.endswith("_R2map")
        known = next((name for pattern, name in _KNOWN if pattern.search(stem)), None)
        if not (is_r2 or known or stem.endswith("_dseg") or stem == "dseg"):
            return None
        header, grid = read_header(path)
        if len(header.shape) > 3:
            return None
        label = re.sub(r"[^0-9A-Za-z]", "", f"{dataset.name}{_own_label(stem)}")
        if is_r2:
            return Segmentation("r2", self._relative(path), grid, label)
        return Segmentation(
            "labels", self._relative(path), grid, label, self._table(path) or known or self._lut
        )

    def _table(self, path: Path) -> str | None:
        try:
            return self._relative(find_inherited(path, ".tsv", self._folders))
        except InputError:
            return None

    def _relative(self, path: Path) -> str:
        return (path.relative_to(self._root) if path.is_relative_to(self._root) else path.absolute()).as_posix()


def _told_apart(image: Segmentation, others: Sequence[Segmentation]) -> Segmentation:
    """The image with a number in its label where another has the same."""
    taken = {other.label for other in others}
    numbers = (f"{image.label}{number}" if number else image.label for number in count())
    return replace(image, label=next(label for label in numbers if label not in taken))


def _own_label(stem: str) -> str:
    """What tells a segmentation from others of its dataset."""
    try:
        name = BidsName.parse(stem)
    except InputError:
        return stem
    suffix = "" if name.suffix == "dseg" else name.suffix
    return "".join(name.entities.get(key, "") for key in ("space", "atlas", "seg", "desc")) + suffix


def _subject_folders(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.name.startswith("sub-"))
    except OSError:
        return frozenset()


def _places(folder: Path, names: frozenset[str], subject: str, session: str | None) -> Iterator[Path]:
    """Folders of a dataset that hold images of the session."""
    whole = f"sub-{subject}"
    if session is not None:
        if f"{whole}_ses-{session}" in names:
            yield folder / f"{whole}_ses-{session}"
        if whole in names:
            yield folder / whole / f"ses-{session}"
    if whole in names:
        yield folder / whole


def _files(place: Path) -> Iterator[Path]:
    """Images in a folder and in the folders right below it, those of sessions left out."""
    below = []
    for entry in _listed(place):
        if entry.name.endswith((*IMAGES, ".mgz")):
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith(("ses-", ".")):
            below.append(entry.path)
    for folder in below:
        for entry in _listed(Path(folder)):
            if entry.name.endswith((*IMAGES, ".mgz")) and not entry.name.startswith("."):
                yield Path(entry.path)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []

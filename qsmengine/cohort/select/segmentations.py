"""Segmentations, masks of lesions and R2 maps of a subject in derivative datasets, and tables of labels.

An image is used if it is on the grid of a series; nothing is resampled.
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

Role: TypeAlias = Literal["labels", "lesions", "r2"]

_KNOWN = (
    (re.compile(r"synthseg", re.IGNORECASE), "synthseg"),
    (re.compile(r"firstseg$", re.IGNORECASE), "fsl-first"),
    (re.compile(r"(^|_|desc-)(aparc[+.]?[\w.+]*)?aseg(_dseg)?$", re.IGNORECASE), "freesurfer-aseg"),
)
"""Text in the stem of an image's name -> built-in table of its labels."""
_LESIONS = re.compile(r"(^|_)(label|desc|seg)-(lesions?|wmh)(_.*)?_(mask|dseg)$", re.IGNORECASE)
"""Stem of a mask of lesions, such as ``sub-01_label-lesion_mask``."""


@dataclass(frozen=True)
class Segmentation:
    """An image of a subject's derivatives that a step can use.

    Parameters
    ----------
    role
        "labels", "lesions" or "r2".
    path
        POSIX, relative to the dataset; absolute if the file lies elsewhere.
    grid
        Geometry of the image.
    label
        Letters and digits that distinguish it from the session's other images.
    lut
        Table of its labels: a built-in name, or a file given as `path` is; None if there is none.
    """

    role: Role
    path: str
    grid: Grid
    label: str
    lut: str | None = None

    def on(self, grid: Grid) -> bool:
        """Return whether its voxels are those of `grid`."""
        return self.grid.matches(grid)


class Derivatives:
    """Derivative datasets of a raw dataset.

    Parameters
    ----------
    root
        Raw dataset: every folder in its ``derivatives`` is searched, except `out` and the folders above it.
    out
        Folder of this cohort's outputs.
    given
        Further datasets.
    lut
        Table for segmentations without a table.

    Raises
    ------
    UsageError
        If a folder in `given` does not exist or has no folder ``sub-*``.
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
        """Return a session's images, including those of the whole subject, and notes on unusable ones."""
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
                    found += [] if image is None else [_with_unique_label(image, found)]
        return found, notes

    def _of_dataset(self, out: Path) -> Iterator[Path]:
        """Yield the folders below ``derivatives`` that do not hold outputs of this cohort."""
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
                raise InputError("MGZ is not supported: convert it to NIfTI on the series' grid", source=path)
            return None
        is_r2 = stem.endswith("_R2map") and not stem.endswith("sd_R2map")
        is_lesions = _LESIONS.search(stem) is not None
        known = next((name for pattern, name in _KNOWN if pattern.search(stem)), None)
        if not (is_r2 or is_lesions or known or stem.endswith("_dseg") or stem == "dseg"):
            return None
        header, grid = read_header(path)
        if len(header.shape) > 3:
            return None
        label = re.sub(r"[^0-9A-Za-z]", "", f"{dataset.name}{_own_label(stem)}")
        if is_r2 or is_lesions:
            return Segmentation("r2" if is_r2 else "lesions", self._relative(path), grid, label)
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


def _with_unique_label(image: Segmentation, others: Sequence[Segmentation]) -> Segmentation:
    """Return the image, with a number added to its label if another image has the same label."""
    taken = {other.label for other in others}
    numbers = (f"{image.label}{number}" if number else image.label for number in count())
    return replace(image, label=next(label for label in numbers if label not in taken))


def _own_label(stem: str) -> str:
    """Return the text that distinguishes a segmentation from others in its dataset."""
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
    """Yield the folders of a dataset that hold images of the session."""
    whole = f"sub-{subject}"
    if session is not None:
        if f"{whole}_ses-{session}" in names:
            yield folder / f"{whole}_ses-{session}"
        if whole in names:
            yield folder / whole / f"ses-{session}"
    if whole in names:
        yield folder / whole


def _files(place: Path) -> Iterator[Path]:
    """Yield the images in a folder and in its direct sub-folders, except those of sessions."""
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

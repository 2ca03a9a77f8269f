"""Files that apply to an image by the BIDS inheritance principle."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from qsmengine.errors import InputError
from qsmengine.io.bids import BidsName

DATASET_MARK = "dataset_description.json"
INHERITED = (".json", ".bval", ".bvec", ".tsv")
_IMAGE_ENDINGS = (".nii.gz", ".nii", ".hdr.gz", ".img.gz", ".hdr", ".img", ".mgz", ".mgh")
_Listing: TypeAlias = dict[tuple[str, str], list[tuple[str, BidsName]]]


class Folders:
    """Cached folder listings: each folder is read once, and the `size` most recently used ones are kept.

    One instance serves many images of a dataset, which must not be modified meanwhile.
    """

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._listings: OrderedDict[Path, _Listing] = OrderedDict()
        self._chains: dict[Path, list[Path]] = {}

    def above(self, image: Path) -> list[Path]:
        """Return the folders whose files can apply to `image`, dataset root first; or just its own folder."""
        own = image.parent
        if own not in self._chains:
            if len(self._chains) >= self._size:
                self._chains.clear()
            self._chains[own] = _chain(own)
        return self._chains[own]

    def applicable(self, folders: Iterable[Path], stem: str, ending: str) -> list[Path]:
        """Return the files of `folders` with an ending that apply to the image named `stem`, weakest first.

        They have its suffix and a subset of its entities; within a folder, files with more entities come last.
        No file applies to a name that is not BIDS.
        """
        try:
            image = BidsName.parse(stem)
        except InputError:
            return []
        kind = (image.suffix, ending)
        return [
            folder / filename
            for folder in folders
            for filename, name in self._listing(folder).get(kind, ())
            if name.is_ancestor_of(image)
        ]

    def _listing(self, folder: Path) -> _Listing:
        if folder in self._listings:
            self._listings.move_to_end(folder)
            return self._listings[folder]
        listing = self._listings[folder] = _list(folder)
        if len(self._listings) > self._size:
            self._listings.popitem(last=False)
        return listing


def find_inherited(image: str | Path, ending: str, folders: Folders | None = None) -> Path:
    """Return the file with `ending` (".bval", ".bvec", ".tsv") that applies to `image`; the deepest wins.

    Raises
    ------
    InputError
        If there is none; the message names the places searched.
    """
    image = Path(image)
    stem = image_stem(image.name)
    beside = image.with_name(stem + ending)
    if beside.is_file():
        return beside
    folders = Folders() if folders is None else folders
    chain = folders.above(image)
    found = folders.applicable(chain, stem, ending)
    if not found:
        others = [f"{folder}{os.sep}*{stem.rsplit('_', 1)[-1]}{ending}" for folder in chain[:-1]]
        searched = f"; searched {', '.join(others)} too" if others else ""
        raise InputError(f"not found next to {image.name}{searched}", source=beside)
    return found[-1]


def image_stem(name: str) -> str:
    """Return the file name without the image extension."""
    for ending in _IMAGE_ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name.rsplit(".", 1)[0]


def _chain(own: Path) -> list[Path]:
    chain = [own]
    for folder in own.absolute().parents:
        if (chain[-1] / DATASET_MARK).is_file():
            break
        chain.append(folder)
    return chain[::-1] if (chain[-1] / DATASET_MARK).is_file() else [own]


def _list(folder: Path) -> _Listing:
    listing: _Listing = {}
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(INHERITED))
    except OSError:
        return listing
    for filename in names:
        try:
            name = BidsName.parse(filename)
        except InputError:
            continue
        listing.setdefault((name.suffix, name.extension), []).append((filename, name))
    for candidates in listing.values():
        candidates.sort(key=lambda row: len(row[1].entities))
    return listing

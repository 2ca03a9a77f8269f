"""Grouping of a session's images into series, by modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qsmengine.cohort.select.dataset import SessionFiles
from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.modalities.registry import all_modalities
from qsmengine.modalities.series import Series


def with_first_structures(sessions: Sequence[SessionFiles]) -> list[SessionFiles]:
    """Return the sessions of a subject; those without an image to segment borrow the first.

    The first is that whose label comes first, whatever sessions are selected.
    """
    suffixes = {
        s for modality in all_modalities() if modality.structures is not None for s in modality.suffixes
    }
    own = {files.session: _of_suffixes(files, suffixes) for files in sessions}
    first = next((found for found in own.values() if found), ())
    return [files if own[files.session] else replace(files, borrowed=first) for files in sessions]


def _of_suffixes(files: SessionFiles, suffixes: set[str]) -> tuple[BidsFile, ...]:
    return tuple(file for file in files.files if file.name.suffix in suffixes)


def borrowed_series(files: SessionFiles) -> list[Series]:
    """Return the series of the images that a session borrows, named after the session and their origin."""
    found = []
    for modality in all_modalities():
        images = [file for file in files.borrowed if file.name.suffix in modality.suffixes]
        for one in modality.group(images)[0] if images and modality.structures is not None else ():
            origin = one.name.entities.get("ses")
            own = {} if files.session is None else {"ses": files.session}
            space = {"space": f"ses{origin}" if origin else "subject"}
            entities = {**one.name.entities, **space}
            entities.pop("ses", None)
            name = BidsName({**entities, **own}, one.name.suffix, one.name.extension)
            note = f"{', '.join(file.path for file in images)}: {BORROWED}"
            found.append(replace(one, name=name, notes=(*one.notes, note)))
    return found


BORROWED = "from another session of the subject, as this one has none"
"""End of the note on images that a session borrows."""
_LEFT_ASIDE = {"sbref": "single-band reference"}


def group_series(files: SessionFiles) -> tuple[list[Series], list[str]]:
    """Return a session's series in the order of the modalities, and notes on images outside any series."""
    series: list[Series] = []
    taken: set[str] = set()
    more: list[str] = []
    for modality in all_modalities():
        taken |= set(modality.suffixes)
        found, noted = modality.group([file for file in files.files if file.name.suffix in modality.suffixes])
        series += found
        more += noted
    notes = [
        f"{file.path}: {_LEFT_ASIDE[file.name.suffix]}, not used"
        for file in files.files
        if file.name.suffix in _LEFT_ASIDE and file.name.suffix not in taken
    ]
    return series, [*notes, *more]

"""Grouping of a session's images into series, by modality."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from qsmengine.cohort.select.dataset import SessionFiles
from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.modalities.registry import all_modalities
from qsmengine.modalities.series import Series


def with_first_structures(sessions: Sequence[SessionFiles]) -> list[SessionFiles]:
    """Return the sessions of a subject; those without an image to segment, or a companion, borrow the first.

    The first is that whose label comes first, whatever sessions are selected.
    """
    known = [modality for modality in all_modalities() if modality.structures is not None]
    kinds = [{suffix for modality in known for suffix in modality.suffixes}]
    kinds += [{suffix} for modality in known for suffix in modality.companions.values()]
    found = list(sessions)
    for suffixes in kinds:
        own = [_of_suffixes(files.files, suffixes) for files in found]
        first = next((images for images in own if images), ())
        found = [
            files if images else replace(files, borrowed=(*files.borrowed, *first))
            for files, images in zip(found, own, strict=True)
        ]
    return found


def _of_suffixes(files: Sequence[BidsFile], suffixes: Collection[str]) -> tuple[BidsFile, ...]:
    return tuple(file for file in files if file.name.suffix in suffixes)


def with_companions(
    series: Sequence[Series], files: SessionFiles, kinds: Collection[str]
) -> tuple[list[Series], list[str]]:
    """Return the series with the images that go with them, and notes on those that are not used.

    These are the session's first, or the subject's; `kinds` are the kinds of steps that are planned.
    """
    done, notes = list(series), list[str]()
    for modality in all_modalities():
        for role, suffix in modality.companions.items() if modality.step in kinds else ():
            own, borrowed = (_of_suffixes(images, {suffix}) for images in (files.files, files.borrowed))
            if not any(one.kind == modality.step for one in done):
                notes += [f"{file.path}: not used: {modality.absent}" for file in own]
                continue
            for first in (own or borrowed)[:1]:
                notes += [f"{file.path}: not used, {suffix} comes from {first.path}" for file in own[1:]]
                said = () if own else (f"{first.path}: another session's, as this one has no {suffix}",)
                done = [
                    replace(one, parts={**one.parts, role: (first.path,)}, notes=(*one.notes, *said))
                    if one.kind == modality.step
                    else one
                    for one in done
                ]
    return done, notes


def borrowed_series(files: SessionFiles) -> list[Series]:
    """Return the series of the images that a session borrows, named after the session and their origin."""
    found = []
    for modality in all_modalities():
        images = _of_suffixes(files.borrowed, modality.suffixes)
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

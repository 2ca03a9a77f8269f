"""Grouping of a session's images into series, by modality."""

from __future__ import annotations

from qsmengine.cohort.select.dataset import SessionFiles
from qsmengine.modalities.registry import all_modalities
from qsmengine.modalities.series import Series

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

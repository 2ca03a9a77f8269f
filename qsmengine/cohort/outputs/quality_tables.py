"""Quality table of a cohort: the measures of every reconstruction in an output folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json, write_text
from qsmengine.io.cells import guard
from qsmengine.modalities.quality import LIGHT, MISSING, REASONS, quality_dictionary, shown
from qsmengine.report.quality import SeriesQuality, find_quality

NAME = Path("group") / "desc-quality_metrics.tsv"
IDENTITY = {
    "participant_id": {"Description": "Participant, or the common part of the file names outside BIDS"},
    "session_id": {"Description": "Session; n/a if the participant has none"},
    "source": {"Description": "Table of the reconstruction, relative to the dataset"},
    "step": {"Description": "Step that made the reconstruction"},
}


def write_quality_table(out: str | Path) -> tuple[Path, list[SeriesQuality]]:
    """Write ``OUT/group/desc-quality_metrics.tsv`` with its dictionary; return the file and its rows.

    A row per reconstruction; measures of other modalities are n/a. Lights follow the ranges of this version.

    Raises
    ------
    InputError
        If no reconstruction has a quality table, or one cannot be read.
    """
    out = Path(out)
    found = find_quality(out)
    if not found:
        raise InputError("no *_desc-quality_*.tsv below it", source=out)
    measures = {measure.name: measure for one in found for measure in one.measures}
    target = out / NAME
    write_text(target, _text(out, found, list(measures)))
    write_json(target.with_suffix(".json"), {**IDENTITY, **_dictionary(found)})
    return target, found


def _text(out: Path, found: Sequence[SeriesQuality], columns: Sequence[str]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow([*IDENTITY, LIGHT, REASONS, *columns])
    for one in found:
        subject, _, session = one.session.partition("_ses-")
        row = [
            subject,
            f"ses-{session}" if session else MISSING,
            one.path.relative_to(out).as_posix(),
            one.step,
        ]
        row += [one.verdict.light or MISSING, "; ".join(one.verdict.reasons) or MISSING]
        row += [shown(one.values.get(name)) for name in columns]
        writer.writerow([guard(text) for text in row])
    return buffer.getvalue()


def _dictionary(found: Sequence[SeriesQuality]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for one in {one.step: one for one in found}.values():
        columns |= quality_dictionary(one.measures)
    return columns

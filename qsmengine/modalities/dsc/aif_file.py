"""Arterial curves as tab-separated files: read from the user, written with the maps."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qsmengine.errors import InputError
from qsmengine.grid import FloatArray

TIME, VALUE, BRAIN = "time", "dr2star", "brain_dr2star"
"""Columns: time from the first frame [s], change of R2* [1/s], and its mean in the brain [1/s]."""
DISPLACEMENT = "displacement"
"""Column of the framewise displacement [mm], in tables of series whose motion was corrected."""
COLUMNS = {
    TIME: {"Description": "Time from the first frame", "Units": "s"},
    VALUE: {"Description": "Change of R2* in the artery", "Units": "1/s"},
    BRAIN: {"Description": "Mean change of R2* in the brain", "Units": "1/s"},
}


def read_aif(path: str | Path, times: FloatArray) -> FloatArray:
    """Return the arterial curve (frame,) [1/s] at `times` (frame,) [s] from a file.

    The file has a header with the columns ``time`` [s] and ``dr2star`` [1/s]; the curve is interpolated
    linearly.

    Raises
    ------
    InputError
        For a file without these columns, values that are not numbers, times that do not ascend, and a curve
        that does not cover the series; the message names file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"cannot be read: {reason}", source=path) from error
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    if not {TIME, VALUE} <= set(rows.fieldnames or ()):
        raise InputError(
            f"no columns {TIME} [s] and {VALUE} [1/s] (tab-separated)", source=path, field="header"
        )
    points = [
        (_number(row[TIME], path, n), _number(row[VALUE], path, n)) for n, row in enumerate(rows, start=2)
    ]
    if len(points) < 2:
        raise InputError(f"{len(points)} rows; a curve needs more", source=path)
    own, curve = (np.array(column) for column in zip(*points, strict=True))
    if (np.diff(own) <= 0).any():
        raise InputError("times do not ascend", source=path, field=TIME)
    step = float(times[1] - times[0])
    if own[0] > times[0] + 0.5 * step or own[-1] < times[-1] - 0.5 * step:
        raise InputError(
            f"covers {own[0]:g} .. {own[-1]:g} s, the series {times[0]:g} .. {times[-1]:g} s",
            source=path,
            field=TIME,
        )
    return np.asarray(np.interp(times, own, curve), dtype=np.float64)


def aif_table(
    times: FloatArray, curve: FloatArray, brain: FloatArray, more: Mapping[str, FloatArray] | None = None
) -> str:
    """Return the text of a file with `times` (frame,) [s], and the curves of artery and `brain` [1/s].

    `more` holds further columns.
    """
    columns = [*COLUMNS, *(more or {})]
    values = zip(times, curve, brain, *(more or {}).values(), strict=True)
    rows = ["\t".join(f"{value:.6g}" for value in row) for row in values]
    return "\n".join(["\t".join(columns), *rows]) + "\n"


def _number(text: str | None, path: Path, line: int) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"line {line}: {text!r} is not a number", source=path)
    return value

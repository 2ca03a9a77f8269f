"""Values that no arithmetic can use."""

from __future__ import annotations

import math

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError

MAX_BAD_FRACTION = 0.05


def zero_nonfinite(array: Array, what: str, source: object, notes: list[str]) -> None:
    """Set NaN and infinite values of a float array to 0 in place, with a note.

    Raises
    ------
    InputError
        Where they are more than 5 % of the values.
    """
    if math.isfinite(float(array.min())) and math.isfinite(float(array.max())):
        return
    bad = ~np.isfinite(array)
    _replace(array, bad, f"{what} values are NaN or infinite", source, notes)


def zero_negative(array: Array, what: str, source: object, notes: list[str]) -> None:
    """Set negative values to 0 in place, with a note; raises InputError above 5 %."""
    if float(array.min()) < 0.0:
        _replace(array, array < 0.0, f"{what} values are negative", source, notes)


def _replace(array: Array, bad: Array, text: str, source: object, notes: list[str]) -> None:
    count = int(np.count_nonzero(bad))
    if count > MAX_BAD_FRACTION * array.size:
        raise InputError(f"{count} of {array.size} {text} (more than {MAX_BAD_FRACTION:.0%})", source=source)
    array[bad] = 0
    notes.append(f"{source}: {count} of {array.size} {text}; set to 0")

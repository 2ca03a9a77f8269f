"""Real and imaginary parts that are not such parts: they would give a phase that means nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.io.phase_units import RANGES


def check_complex_parts(signal: Array, names: Sequence[str]) -> None:
    """Check the parts of a complex signal.

    Parameters
    ----------
    signal
        (x, y, z, echo), complex.
    names
        Titles of the files with the real and the imaginary part.

    Raises
    ------
    InputError
        If both parts are equal, if neither has negative values, or if they are magnitude and phase.
    """
    real, imag = signal.real, signal.imag
    if np.array_equal(real, imag):
        raise InputError("the imaginary part is the same image as the real part", source=names[1], field="imag")
    if not real.min() >= 0:
        return
    low, high = float(imag.min()), float(imag.max())
    if low >= 0:
        raise InputError(
            "neither the real nor the imaginary part has a negative value: they were stored without a sign; "
            "subtract the value that stands for zero, or convert them again",
            source=names[0],
            field="real",
        )
    if any(kind.is_filled_by(low, high) for kind in RANGES.values()):
        raise InputError(
            f"the real part has no negative value, and the imaginary part spans {low:g} .. {high:g}: these are "
            "magnitude and phase; give them as such",
            source=names[1],
            field="imag",
        )

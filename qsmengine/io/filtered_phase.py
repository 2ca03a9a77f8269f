"""Phase that was high-pass filtered, as in susceptibility-weighted imaging: its slow variation is missing.

Such a filter divides the signal by its local mean, so that the mean of m exp(i phase) over some voxels has no
phase. In raw phase it has one, of the transmit field, the coil, air and shim. Computed is

    f = 1 - Re(sum of g) / sum of |g|,  g = m exp(i phase), smoothed,

the weighted mean of 1 - cos of the phase of g. Raw images of heads have .38 or more, filtered real ones .014 or
less. A weak filter leaves .04 to .14 in a virtual head and is not recognised.
"""

from __future__ import annotations

import numpy as np

from qsmengine.data import Array
from qsmengine.io.orientation import central_part, smoothed

WIDTH = 6.0
"""Standard deviation [compared voxels] of the Gaussian that gives the slow variation."""
FILTERED = 0.03
"""Largest f of a phase that is called filtered."""


def filtered_notes(magnitude: Array, phase: Array, name: str) -> list[str]:
    """Return a note if the phase of an echo seems to be high-pass filtered.

    Parameters
    ----------
    magnitude, phase
        (x, y, z) of the last echo, whose phase varies most; phase in radians.
    name
        File of the phase.
    """
    part = central_part(magnitude.shape)
    size, angle = (image[part].astype(np.float32) for image in (magnitude, phase))
    real, imag = (smoothed(size * wave(angle), WIDTH) for wave in (np.cos, np.sin))
    total = float(np.hypot(real, imag).sum(dtype=np.float64))
    if not total > 0 or 1 - float(real.sum(dtype=np.float64)) / total > FILTERED:
        return []
    note = (
        f"{name}: the phase has no slow variation: it seems to be high-pass filtered, as in susceptibility-"
        "weighted images; chi of everything larger than the filter is lost; use the unfiltered phase"
    )
    return [note]

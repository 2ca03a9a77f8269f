"""Correction of phase that alternates by pi between slices, as some scanners (GE) write 3-D acquisitions.

If the reconstruction omits a half-period shift along the slices, the complex image is multiplied by
1, -1, 1, ... Neighbouring slices then differ by pi nearly everywhere, which no physical field causes: the mean
step of the first echo

    sum m_k m_{k+1} exp(i (phase_{k+1} - phase_k)) / sum m_k m_{k+1}

lies near -1 instead of near 1. Alternation is assumed if its modulus is at least `_COHERENT` and its angle is
within pi / 4 of pi.
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.data import Array

_COHERENT = 0.3
_STRIDE = 2
"""Sampling step along x and y; every second voxel is sufficient."""


def mean_slice_step(magnitude: Array, phase: Array) -> complex:
    """Return the mean step between slices of an echo (x, y, z), phase [rad]; 0 if undefined."""
    m, p = (np.asarray(a[::_STRIDE, ::_STRIDE], dtype=np.float32) for a in (magnitude, phase))
    with np.errstate(over="ignore", invalid="ignore"):  # values beyond float32 are refused by later checks
        weight = m[..., 1:] * m[..., :-1]
        total = float(weight.sum(dtype=np.float64))
    if not 0 < total < math.inf:
        return 0j
    step = p[..., 1:] - p[..., :-1]
    real, imag = ((weight * part).sum(dtype=np.float64) for part in (np.cos(step), np.sin(step)))
    return complex(real, imag) / total


def alternates(magnitude: Array, phase: Array) -> bool:
    """Return whether the phase (x, y, z) [rad] of an echo alternates by pi along z."""
    step = mean_slice_step(magnitude, phase)
    return abs(step) > _COHERENT and step.real < -math.cos(math.pi / 4) * abs(step)


def undo_alternation(phase: Array) -> None:
    """Rotate every second slice of a phase (x, y, z, echo) in -pi .. pi [rad] by pi, in place."""
    odd = phase[:, :, 1::2]
    odd += np.where(odd > 0, np.float32(-math.pi), np.float32(math.pi))


def correct_slices(magnitude: Array, phase: Array, wanted: bool | None, notes: list[str]) -> None:
    """Undo an alternation of the phase (x, y, z, echo) in place, with a note.

    Parameters
    ----------
    magnitude, phase
        (x, y, z, echo); phase [rad] in -pi .. pi.
    wanted
        True or False; None: decided from the first echo.
    notes
        List that receives a note.
    """
    found = alternates(magnitude[..., 0], phase[..., 0])
    if found if wanted is None else wanted:
        undo_alternation(phase)
        why = "on request" if wanted else "detected: neighbouring slices differ by pi"
        notes.append(f"phase: every second slice rotated by pi ({why})")
    elif found:
        notes.append("phase: neighbouring slices differ by pi; not corrected, as requested")

"""Phases of echoes that do not belong together: refused before anything is computed from them.

An echo without signal, a file given twice, echoes that changed places, and an echo whose phase has the opposite
sign all leave a fit that converges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.io.alike import copied, copies
from qsmengine.io.orientation import central_part

UNEVEN = 0.05
"""Largest relative difference of echo spacings that count as even."""
IRREGULAR, REGULAR = 0.5, 0.8
"""Coherence of a phase that does not grow evenly from echo to echo, and of one that does."""


def check_phases(magnitude: Array, phase: Array, echo_times: Sequence[float]) -> None:
    """Check that no echo has the phase of another, and that the phases grow evenly with the echo time.

    Parameters
    ----------
    magnitude, phase
        (x, y, z, echo); phase [rad].
    echo_times
        (echo,) [s], ascending.

    Raises
    ------
    InputError
        For an echo without signal, two echoes with equal values, and as :func:`check_progression` does.
    """
    part = central_part(magnitude.shape[:3])
    sizes, angles = (to_numpy(images[part]).astype(np.float32) for images in (magnitude, phase))
    for echo in range(len(echo_times)):
        if _constant(angles[..., echo]) and _constant(phase[..., echo]):
            raise InputError(f"the phase of echo {echo + 1} is constant: no signal", field="phase")
        if not sizes[..., echo].any() and not magnitude[..., echo].any():
            raise InputError(f"every magnitude of echo {echo + 1} is 0: no signal", field="magnitude")
    _check_distinct(sizes, angles)
    check_progression(sizes, angles, echo_times)


def _constant(values: Array) -> bool:
    return bool(values.min() == values.max())


def _check_distinct(sizes: Array, angles: Array) -> None:
    """Raise InputError if two echoes have the same phase, or the same magnitude while others differ.

    Simulations may have one magnitude for all echoes.
    """
    for name, images in (("phase", angles), ("magnitude", sizes)):
        known = copies([images[..., echo] for echo in range(images.shape[3])])
        if known and (name == "phase" or len(known) < math.comb(images.shape[3], 2)):
            raise InputError(copied(known[0], "echoes"), field=name)


def check_progression(sizes: Array, angles: Array, echo_times: Sequence[float]) -> None:
    """Raise InputError if the phase grows evenly once two echoes change places, or one changes its sign.

    Any field adds the same phase from echo to echo, so that phase(k) - 2 phase(k+1) + phase(k+2) is the same in
    every voxel, wrapped or not. The coherence of an order of echoes is the least modulus, over k, of the mean
    of its complex exponential, weighted by magnitude. Needs three echoes or more at even spacing; others pass.
    The reverse of an order is as coherent as the order: of two, that in which the magnitude decays is named.
    All phases with the opposite sign are as coherent as with the right one.

    `sizes` and `angles` [rad] (x, y, z, echo) are on the host; `echo_times` (echo,) [s] ascend.
    """
    steps = np.diff(echo_times)
    if len(steps) < 2 or np.ptp(steps) > UNEVEN * steps.mean():
        return
    order = list(range(len(echo_times)))
    given = _coherence(sizes, angles, order)
    if given > IRREGULAR:
        return
    for one, other in sorted(combinations(order, 2), key=lambda pair: pair[1] - pair[0]):
        changed = order.copy()
        changed[one], changed[other] = other, one
        found = _coherence(sizes, angles, changed)
        if found > REGULAR and sizes[..., changed[0]].sum() >= sizes[..., changed[-1]].sum():
            raise InputError(
                f"the phase does not grow evenly with the echo time (coherence {given:.2f}), but does if "
                f"echoes {one + 1} and {other + 1} change places ({found:.2f}): their files or echo times are "
                "exchanged",
                field="EchoTime",
            )
    for echo in order:
        signs = np.where(np.arange(len(order)) == echo, np.float32(-1), np.float32(1))
        found = _coherence(sizes, angles * signs, order)
        if found > REGULAR:
            raise InputError(
                f"the phase does not grow evenly with the echo time (coherence {given:.2f}), but does if that "
                f"of echo {echo + 1} changes its sign ({found:.2f}): it was stored with the opposite sign; "
                "convert all echoes alike",
                field="phase",
            )


def _coherence(sizes: Array, angles: Array, order: Sequence[int]) -> float:
    """Return the least coherence of the second difference of the phase over echoes in an order."""
    least = 1.0
    for three in zip(order, order[1:], order[2:], strict=False):
        first, second, third = (angles[..., echo] for echo in three)
        weight = np.nan_to_num(sizes[..., list(three)].min(axis=3))
        bend = np.exp(1j * np.nan_to_num(first - 2 * second + third))
        total = float(weight.sum(dtype=np.float64))
        least = min(least, abs(complex((weight * bend).sum(dtype=np.complex128))) / total if total > 0 else 1.0)
    return least

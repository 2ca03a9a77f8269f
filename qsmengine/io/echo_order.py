"""Check that echo times given by the user belong to the files in their order.

The magnitude of tissue decreases with echo time, and the phase between neighbouring voxels increases. If one of
them does the opposite from echo to echo, the files were given in the reverse order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.io.orientation import central_part

_FACTOR = 0.9
"""Ratio of the first echo to the last, or of the last to the first, beyond which an order is evident."""


def check_order(magnitude: Array, phase: Array, magnitudes: Sequence[str], phases: Sequence[str]) -> None:
    """Raise InputError if magnitude grows or phase flattens with echo time throughout.

    Parameters
    ----------
    magnitude, phase
        (x, y, z, echo), finite, ordered by the given echo times; phase in radians.
    magnitudes, phases
        Name of each echo's file.
    """
    part = central_part(magnitude.shape[:3])
    sizes = [float(np.mean(magnitude[..., echo][part], dtype=np.float64)) for echo in range(magnitude.shape[3])]
    weight = magnitude.sum(axis=3)[part]
    slopes = [_roughness(phase[..., echo][part], weight) for echo in range(phase.shape[3])]
    if _falls(sizes[::-1]):
        _refuse("magnitude grows with", magnitudes)
    if _falls(slopes):
        _refuse("the phase between neighbouring voxels shrinks with", phases)


def _falls(values: Sequence[float]) -> bool:
    return all(b < a for a, b in pairwise(values)) and values[-1] < _FACTOR * values[0]


def _refuse(what: str, names: Sequence[str]) -> None:
    raise InputError(
        f"{what} the given echo times: these files are in another order; give one time per file, in the order "
        "of the files",
        source=", ".join(dict.fromkeys(names)),
        field="echo_times",
    )


def _roughness(phase: Array, weight: Array) -> float:
    """Return the weighted mean of 1 - cos of the phase difference between neighbours along the array axes."""
    total = norm = 0.0
    for axis in range(3):
        both = np.minimum(*(np.moveaxis(weight, axis, 0)[edge] for edge in (slice(1, None), slice(None, -1))))
        step = np.diff(phase, axis=axis)
        total += float(np.sum((1 - np.cos(np.moveaxis(step, axis, 0))) * both, dtype=np.float64))
        norm += float(np.sum(both, dtype=np.float64))
    return total / norm if norm > 0 else 0.0

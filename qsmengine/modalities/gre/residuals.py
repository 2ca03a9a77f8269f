"""Phase of gradient echoes that the field map does not describe.

The phase difference of two echoes does not depend on the offset of the phase. It is compared with that of the
field, modulo 2 pi. Pairs skip an echo where there are three or more: the offset of bipolar readouts alternates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import to_numpy
from qsmengine.data import GreSeries
from qsmengine.units import rad_per_ppm

Values: TypeAlias = npt.NDArray[Any]


def phase_residuals(series: GreSeries, field: Values, brain: Values) -> Iterator[Values]:
    """Yield the phase [rad] (voxel,) that the field does not describe, for each pair of echoes.

    Parameters
    ----------
    series
        Wrapped phase (x, y, z, echo) [rad] of two echoes or more.
    field
        Total field (x, y, z) [ppm].
    brain
        (x, y, z) mask of the voxels.
    """
    values = field[brain]
    for one, other in _pairs(series.n_echoes):
        expected = _radians(series, one, other) * values
        yield _unwrapped(series, one, other, expected, brain) - expected


def unwrapped_phase(series: GreSeries, field: Values, brain: Values) -> Values:
    """Return the phase [rad] (x, y, z) of the last echo minus that of the first, unwrapped; 0 outside `brain`.

    The number of turns is the one nearest to the phase of the total field `field` (x, y, z) [ppm]. With a
    single echo, its phase is returned.
    """
    last = series.n_echoes - 1
    first = 0 if last else None
    expected = _radians(series, first, last) * field[brain]
    phase = np.zeros(series.grid.shape, np.float32)
    phase[brain] = _unwrapped(series, first, last, expected, brain)
    return phase


def _pairs(echoes: int) -> Iterator[tuple[int, int]]:
    apart = 2 if echoes > 2 else 1
    return ((one, one + apart) for one in range(echoes - apart))


def _radians(series: GreSeries, one: int | None, other: int) -> float:
    """Return the phase [rad] of 1 ppm between two echoes, or up to `other`."""
    start = 0.0 if one is None else series.echo_times[one]
    return rad_per_ppm(series.grid.required_field_strength, series.echo_times[other] - start)


def _unwrapped(series: GreSeries, one: int | None, other: int, expected: Values, brain: Values) -> Values:
    """Return the phase difference [rad] (voxel,) with the number of turns that is nearest to `expected`."""
    measured = to_numpy(series.phase[..., other])[brain]
    if one is not None:
        measured = measured - to_numpy(series.phase[..., one])[brain]
    return np.asarray(measured + 2 * np.pi * np.rint((expected - measured) / (2 * np.pi)))

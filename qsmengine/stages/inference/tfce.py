r"""Threshold-free cluster enhancement, exact.

::

    TFCE(v) = integral_0^{|t(v)|} e(h)^E h^H dh,     e(h): voxels connected with v where the statistic is >= h

Positive and negative statistics are enhanced separately; the result has the sign of the statistic. The integral
is exact: e is constant between consecutive values of the map, so the integral is a sum over the nodes of the
map's max-tree. Smith and Nichols 2009 (doi:10.1016/j.neuroimage.2008.03.061), who propose E = 0.5 and H = 2;
max-tree after Najman and Couprie 2006 (doi:10.1109/TIP.2006.877518).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.forking import usable_threads
from qsmengine.backend.host import HostFunction, hostcall
from qsmengine.backend.signatures.tfce import TFCE_ENHANCE, TFCE_MAXIMA
from qsmengine.data import Array, check_not_empty
from qsmengine.errors import InputError
from qsmengine.stages.params import Field, Params


class TfceParams(Params):
    """Exponents and neighbourhood."""

    extent: float = Field(default=0.5, gt=0, le=5, description="exponent E of the extent [1]")
    height: float = Field(default=2.0, ge=0, le=5, description="exponent H of the height [1]")
    connectivity: Literal[6, 18, 26] = Field(default=6, description="number of neighbours of a voxel")


@dataclass(frozen=True)
class Neighbourhood:
    """Voxels of a mask in a box with a border of one voxel, and the index steps to a voxel's neighbours."""

    voxels: Array
    offsets: Array
    box_size: int


def neighbourhood(mask: Array, connectivity: int) -> Neighbourhood:
    """Number the voxels of `mask` (x, y, z) in C order; InputError for an empty mask."""
    inside = to_numpy(mask) != 0
    check_not_empty(inside)
    padded = np.pad(inside, 1)
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    reach = {6: 1, 18: 2, 26: 3}[connectivity]
    steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if 0 < sum(map(abs, s)) <= reach]
    offsets = (np.array(steps) @ strides).astype(np.int32)
    return Neighbourhood(np.flatnonzero(padded).astype(np.int32), offsets, padded.size)


def tfce(statistic: Array, mask: Array, params: TfceParams, *, device: Device) -> Array:
    """Enhance a statistic map.

    Parameters
    ----------
    statistic
        t (or another signed statistic), (x, y, z) [1]; finite inside the mask.
    mask
        (x, y, z); voxels outside are ignored, also as neighbours.
    params
        Exponents and neighbourhood.
    device
        Device of the result; the enhancement runs on threads of the host.

    Returns
    -------
    Array
        (x, y, z) float32, signed; 0 outside the mask.

    Raises
    ------
    InputError
        For different shapes, an empty mask, or non-finite values.
    """
    if statistic.shape != mask.shape:
        raise InputError(f"statistic {statistic.shape} and mask {mask.shape} differ", field="shape")
    inside = to_numpy(mask) != 0
    values = np.ascontiguousarray(to_numpy(statistic)[inside], dtype=np.float32)
    if not np.isfinite(values).all():
        raise InputError("not all values inside the mask are finite", field="statistic")
    enhanced = np.zeros(inside.shape, np.float32)
    around = neighbourhood(mask, params.connectivity)
    enhanced[inside] = enhance(values[np.newaxis], around, params, device.threads)[0]
    return device.asarray(enhanced)


def enhance(statistics: Array, around: Neighbourhood, params: TfceParams, threads: int) -> Array:
    """Enhance several maps given as (map, voxel) float32 on the host."""
    enhanced = np.empty_like(statistics)
    _call(TFCE_ENHANCE, statistics, around, params, threads, enhanced=enhanced)
    return enhanced


def maxima(statistics: Array, around: Neighbourhood, params: TfceParams, threads: int) -> Array:
    """Return each map's largest enhanced value of positive and of negative statistics, (map, 2), >= 0."""
    found = np.empty((len(statistics), 2), np.float32)
    _call(TFCE_MAXIMA, statistics, around, params, threads, maxima=found)
    return found


def _call(
    function: HostFunction,
    statistics: Array,
    around: Neighbourhood,
    params: TfceParams,
    threads: int,
    **out: Array,
) -> None:
    hostcall(
        function,
        stat=statistics,
        voxels=around.voxels,
        offsets=around.offsets,
        box_size=around.box_size,
        extent=params.extent,
        height=params.height,
        threads=max(1, min(usable_threads(threads), len(statistics))),
        **out,
    )

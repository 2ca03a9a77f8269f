"""Priors of transit time and delay from the mean curves of blocks of voxels.

At the noise of a single voxel, least squares alone scatter the transit time M widely and overestimate the mean
flow. The mean curve of a block of about 6 mm determines M and the delay d well enough to serve as the centre of
their priors in its voxels. The blocks are averaged without large vessels, and fitted with a wide prior of log M
about that of the mask's mean curve. Between the centres of the blocks, log M and d are interpolated linearly,
weighted by the share of each block that was used.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.diffusion.planes import Planes
from qsmengine.stages.mask.blocks import Factors, block_factors, block_grid, block_mean
from qsmengine.stages.perfusion.curves import Curves
from qsmengine.stages.perfusion.maps import mean_curve, without_vessels
from qsmengine.stages.perfusion.residue import Residue, Rule
from qsmengine.stages.perfusion.transform import FloatArray
from qsmengine.stages.perfusion.transit import (
    UNKNOWNS,
    Fitted,
    Prior,
    TransitParams,
    fit_transit,
    no_prior,
)

_BLOCK_SD = 0.5
"""Standard deviation of the prior of log M of a block."""
_UNUSED = 1e-3
"""Weight of a block without a fit, which has the values of the mask's mean curve."""


class Neighbourhood(NamedTuple):
    """Voxels `usual` (voxel,) bool without large vessels; mean curves of `blocks`, and their `share` in use."""

    usual: Array
    blocks: Curves
    share: Array
    factors: Factors


def neighbourhood(curves: Curves, params: TransitParams, grid: Grid, device: Device) -> Neighbourhood:
    """Return the mean curves of blocks of the mask without large vessels."""
    usual, factors = without_vessels(curves), block_factors(grid.voxel_size, params.block)
    return Neighbourhood(usual, *block_curves(curves, usual, factors, device), factors)


def local_prior(
    curves: Curves,
    near: Neighbourhood,
    artery: FloatArray,
    params: TransitParams,
    residue: Residue,
    rule: Rule,
    device: Device,
) -> Prior:
    """Return the priors of every voxel; none if the mean curve of the mask has no flow.

    `artery` (frame,) [1/s]; `residue` and `rule` as in :func:`qsmengine.stages.perfusion.transit.fit_transit`.
    """
    mean = device.asarray(mean_curve(curves, near.usual))[:, np.newaxis]
    one = Curves(Planes(mean, (0, 1, 2), (1, 1, 1)), device.asarray(np.ones(1), np.uint8), curves.step)
    whole = fit_transit(one, artery, params, residue, rule, no_prior(1, device), device)
    transit, delay = (float(to_numpy(found)[0]) for found in (whole.transit, whole.delay))
    if not transit > 0:
        return no_prior(curves.voxels, device)
    freedom, blocks = curves.frames - UNKNOWNS, near.blocks
    wide = Prior(
        _filled(math.log(transit), blocks.voxels, device), _filled(delay, blocks.voxels, device),
        held=_BLOCK_SD**-2.0 / freedom,
    )  # fmt: skip
    found = fit_transit(blocks, artery, params, residue, rule, wide, device)
    usual_values = math.log(transit), delay
    images = _interpolated(found, near.share, usual_values, curves.planes.shape, near.factors, device)
    middle, arrival = map(curves.planes.flatten, images)
    return Prior(
        middle, arrival, held=params.transit_sd**-2.0 / freedom if params.transit_sd else 0.0,
        tied=(params.delay_sd / curves.step) ** -2.0 / freedom if params.delay_sd else 0.0,
    )  # fmt: skip


def block_curves(curves: Curves, usual: Array, factors: Factors, device: Device) -> tuple[Curves, Array]:
    """Return the mean curves of blocks over voxels `usual` (voxel,), and their share of each block (block,).

    The blocks are in the order of the image (x, y, z) however the planes are stored, and so are the sums over
    their voxels.
    """
    xp, planes = device.xp, curves.planes
    weight = planes.unflatten(usual.astype(np.float32))
    share = block_mean(weight, factors, device).reshape(-1)
    used, safe = share > 0, xp.where(share > 0, share, np.float32(1))
    means = device.empty((curves.frames, share.size))
    for mean, plane in zip(means, planes.array, strict=True):
        mean[...] = block_mean(planes.unflatten(plane) * weight, factors, device).reshape(-1) / safe
    blocks = Planes(means, (0, 1, 2), block_grid(planes.shape, factors))
    return Curves(blocks, device.asarray(used, np.uint8), curves.step), share


def _interpolated(
    found: Fitted,
    share: Array,
    usual: tuple[float, float],
    shape: tuple[int, int, int],
    factors: Factors,
    device: Device,
) -> tuple[Array, Array]:
    """Return log M and d (x, y, z) between blocks; those without a fit count little, with `usual` values."""
    xp = device.xp
    fitted = found.flow > 0
    weight = xp.where(fitted, share, np.float32(_UNUSED))
    log_transit = xp.where(fitted, xp.log(xp.where(fitted, found.transit, np.float32(1))), np.float32(usual[0]))
    delay = xp.where(fitted, found.delay, np.float32(usual[1]))
    total = onto_voxels(weight, shape, factors, device)
    middle = onto_voxels(weight * log_transit, shape, factors, device) / total
    return middle, onto_voxels(weight * delay, shape, factors, device) / total


def onto_voxels(values: Array, shape: tuple[int, int, int], factors: Factors, device: Device) -> Array:
    """Return values of blocks (block,) on voxels (x, y, z): linear between centres, constant beyond."""
    xp, result = device.xp, values.reshape(block_grid(shape, factors))
    for axis, (size, factor) in enumerate(zip(shape, factors, strict=True)):
        count = result.shape[axis]
        place = (np.arange(size) - (size - 1) / 2) / factor + (count - 1) / 2
        place = np.clip(place, 0.0, count - 1.0)
        low = np.minimum(np.floor(place).astype(np.intp), max(count - 2, 0))
        along = [1, 1, 1]
        along[axis] = -1
        part = device.asarray(place - low).reshape(along)
        high = np.minimum(low + 1, count - 1)
        lower, upper = (xp.take(result, xp.asarray(index), axis=axis) for index in (low, high))
        result = lower + part * (upper - lower)
    return result


def _filled(value: float, count: int, device: Device) -> Array:
    return device.asarray(np.full(count, value))

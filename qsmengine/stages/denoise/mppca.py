"""Denoising of diffusion series by principal components, with the Marchenko-Pastur law of noise (MP-PCA).

The volumes of the voxels in a cube form a matrix X, one row per voxel, minus the mean of the rows. Pure noise
of variance s^2 in an n x m matrix (n the larger side, one less for the mean) has the singular values
d_k^2 = n l_k with l between s^2 (1 - sqrt(m/n))^2 and s^2 (1 + sqrt(m/n))^2 (Marchenko-Pastur). If the p
largest components are signal, the remainder must satisfy

    d_{p+1}^2 - d_m^2 <= 4 sqrt(a b) s_p^2,    s_p^2 = sum_{k > p} d_k^2 / c

and the smallest such p is chosen. `threshold` selects the dimensions of the remaining noise:

- corrected: a = m - p, b = n - p, c = (m - p)(n - p): each signal component removes a dimension from both
  sides;
- original:  a = m - p, b = n, c = (m - p) n, without a correction for the mean, as in Veraart et al. 2016.

The noise components are removed from X. The result in a voxel is the mean over the cubes that contain it,
weighted by 1 / (1 + p); so is the variance of the noise. Cubes contain only voxels of the mask.

References: Veraart et al. 2016, 10.1016/j.neuroimage.2016.08.016; corrected counts: Cordero-Grande et al.
2019, 10.1016/j.neuroimage.2019.06.039 (ratio), Does et al. 2019, 10.1002/mrm.27658 (variance); weights:
Manjon et al. 2013, 10.1371/journal.pone.0073021.
"""

from __future__ import annotations

import itertools
from typing import Literal, NamedTuple

import numpy as np

from qsmengine.backend.batches import map_batches
from qsmengine.backend.device import Device, array_module
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.windows import box_sum
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params

_BATCH_BYTES = 1 << 24
_FEWEST = 3


class MppcaParams(Params):
    """Parameters of MP-PCA."""

    radius: int | None = Field(
        None,
        ge=1,
        le=10,
        description="radius of the cubes [voxels]; none: smallest with more voxels than volumes",
    )
    stride: int = Field(2, ge=1, le=5, description="spacing of the cubes' centres [voxels]")
    threshold: Literal["corrected", "original"] = Field(
        "corrected", description="dimensions of the noise: reduced by the signal on both sides, or original"
    )


class MppcaResult(NamedTuple):
    """Filtered series (x, y, z, volume) and noise (x, y, z), in the series' unit, 0 outside the mask."""

    components: Array
    sigma: Array


class _Sums(NamedTuple):
    """Weighted sums over cubes, one row per voxel of the padded image."""

    signal: Array
    variance: Array
    weight: Array


class _Cubes(NamedTuple):
    """Filtered cubes: indices of their voxels, signal there, noise variance of each cube, weights of voxels."""

    places: Array
    signal: Array
    variance: Array
    share: Array


def mppca(components: Array, mask: Array, grid: Grid, params: MppcaParams, *, device: Device) -> MppcaResult:
    """Return the series without its principal components of noise, and the noise's standard deviation.

    Parameters
    ----------
    components
        (x, y, z, volume), real.
    mask
        (x, y, z): voxels to filter.

    Raises
    ------
    InputError
        For a series of one volume.
    """
    xp, volumes = device.xp, int(components.shape[3])
    if volumes < 2:
        raise InputError("one volume has no principal components", field="volumes")
    radius = params.radius or _least_radius(volumes)
    inside = device.asarray(mask, bool)
    padded = xp.zeros((*(n + 2 * radius for n in grid.shape), volumes), np.float32)
    inner = tuple(slice(radius, radius + n) for n in grid.shape)
    padded[inner] = xp.where(inside[..., None], device.asarray(components), np.float32(0))
    known = xp.zeros(padded.shape[:3], bool)
    known[inner] = inside
    rows, valid = padded.reshape(-1, volumes), known.reshape(-1)
    centres = _centres(known, params.stride, radius, device)
    offsets = _offsets(padded.shape, radius, device)
    sums = _Sums(xp.zeros(rows.shape), xp.zeros(len(rows)), xp.zeros(len(rows)))
    batch = max(1, _BATCH_BYTES // (8 * volumes * (len(offsets) + 3 * volumes)))
    corrected = params.threshold == "corrected"

    def filtered_cubes(start: int) -> _Cubes:
        return _filter_cubes(rows, valid, centres[start : start + batch, None] + offsets, corrected, device)

    for cubes in map_batches(filtered_cubes, range(0, len(centres), batch), device):
        _add(sums, cubes)
    reached = valid & (sums.weight > 0)
    weight = xp.where(reached, sums.weight, 1.0)
    filtered = xp.where(reached[:, None], sums.signal / weight[:, None], rows)
    noise = xp.sqrt(sums.variance / weight)
    return MppcaResult(
        _back(xp.where(valid[:, None], filtered, 0.0), padded.shape, inner, device),
        _back(xp.where(valid, noise, 0.0), padded.shape[:3], inner, device),
    )


def _filter_cubes(rows: Array, valid: Array, places: Array, corrected: bool, device: Device) -> _Cubes:
    """Filter the cubes with voxels at `places` (cube, voxel)."""
    xp = device.xp
    known = valid[places]
    count = known.sum(axis=1)
    x = rows[places].astype(np.float64)
    mean = x.sum(axis=1) / count[:, None]
    x = (x - mean[:, None]) * known[..., None]
    values, vectors = xp.linalg.eigh(xp.matmul(x.transpose(0, 2, 1), x))
    signal, variance = noise_components(xp.maximum(values, 0.0), count, corrected=corrected)
    volumes = values.shape[1]
    kept = vectors * (xp.arange(volumes) >= volumes - signal[:, None])[:, None]
    x = xp.matmul(xp.matmul(x, kept), vectors.transpose(0, 2, 1)) + mean[:, None]
    share = xp.where(count >= _FEWEST, 1.0 / (1.0 + signal), 0.0)[:, None] * known
    return _Cubes(places, x.astype(np.float32), variance, share)


def _add(sums: _Sums, cubes: _Cubes) -> None:
    for k in range(cubes.places.shape[1]):  # voxels at the same position in their cubes are distinct
        at, share = cubes.places[:, k], cubes.share[:, k]
        sums.signal[at] += cubes.signal[:, k] * share[:, None]
        sums.variance[at] += cubes.variance * share
        sums.weight[at] += share


def noise_components(values: Array, count: Array, *, corrected: bool) -> tuple[Array, Array]:
    """Return the number of signal components and the noise variance of each cube.

    Parameters
    ----------
    values
        (cube, volume) d^2, ascending.
    count
        (cube,) number of voxels, at least 2.
    corrected
        Use the corrected dimensions (see the module).
    """
    xp = array_module(values)
    volumes = values.shape[1]
    left = xp.maximum(count - 1 if corrected else count, 1)[:, None].astype(np.float64)
    small, large = xp.minimum(left, volumes), xp.maximum(left, volumes)
    order = xp.arange(volumes, dtype=np.float64)
    signal = volumes - 1 - order  # components above the one at `order`
    lowest = volumes - small  # those below are 0, as there are too few voxels
    usable = order >= lowest
    a = xp.maximum(small - signal, 1.0)
    b = xp.maximum(large - signal, 1.0) if corrected else large
    variance = xp.cumsum(values, axis=1) / (a * b)
    least = xp.take_along_axis(values, lowest.astype(np.int64), axis=1)
    fits = usable & (values - least <= 4.0 * xp.sqrt(a * b) * variance)
    last = volumes - 1 - xp.argmax(fits[:, ::-1], axis=1)  # the smallest component always fits
    found = xp.take_along_axis(variance, last[:, None], axis=1)[:, 0]
    return volumes - 1 - last, found


def _least_radius(volumes: int) -> int:
    return next(r for r in itertools.count(1) if (2 * r + 1) ** 3 > volumes)


def _centres(known: Array, stride: int, radius: int, device: Device) -> Array:
    """Return flat indices of the mask's voxels on a lattice, and of those outside all cubes of the lattice."""
    xp = device.xp
    lattice = xp.zeros(known.shape, bool)
    lattice[::stride, ::stride, ::stride] = True
    lattice &= known
    alone = known & (box_sum(lattice, radius) < 0.5)
    places: Array = xp.flatnonzero(lattice | alone)
    return places


def _offsets(shape: tuple[int, ...], radius: int, device: Device) -> Array:
    steps = np.arange(-radius, radius + 1)
    x, y, z = np.meshgrid(steps, steps, steps, indexing="ij")
    offsets: Array = device.xp.asarray(((x * shape[1] + y) * shape[2] + z).reshape(-1))
    return offsets


def _back(rows: Array, shape: tuple[int, ...], inner: tuple[slice, ...], device: Device) -> Array:
    return device.asarray(rows.reshape(shape)[inner], np.float32)


METHODS = (
    Method(
        stage="denoise", name="mppca", run=mppca, params=MppcaParams,
        inputs=("components", "mask"), outputs={"components": "arbitrary", "sigma": "arbitrary"},
        summary="removal of the principal components that follow the Marchenko-Pastur law of noise",
        doi="10.1016/j.neuroimage.2016.08.016", bytes_per_voxel=60, bytes_per_volume=60,
    ),
)  # fmt: skip

"""Noise of an image, estimated from the image alone.

The product of second differences along the three axes, [1 -2 1] (x) [1 -2 1] (x) [1 -2 1], removes what is
linear along any axis, which leaves little more than the noise, multiplied by sqrt(6^3).

- Global: sigma = median |r| / (0.6745 sqrt(216)) over the voxels whose neighbourhood lies in the mask.
- Local: the same median over a cube around each voxel, from counts below
  20 thresholds between 1/6 and 6 times the global sigma.

- Parts with equal noise (real and imaginary parts of all echoes): anatomy occupies few directions of their
  space. r . a contains the least of it if a is the unit vector of smallest variance over the 90 % of the voxels
  with the smallest |r|; its noise equals that of every part.

- Repeats of one image: differences of successive repeats, divided by sqrt(2), contain no anatomy except through
  drift and motion.

All estimates assume Gaussian noise without correlation between neighbours; they are too low for interpolated or
zero-filled images. In a magnitude image the noise is nearly Gaussian where the signal exceeds 3 sigma: without
a mask only such voxels are used.

References: median of wavelet details: Donoho and Johnstone 1994, 10.1093/biomet/81.3.425; difference
operator: Immerkaer 1996, 10.1006/cviu.1996.0060.
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import Device, array_module, on_device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.ops.windows import box_sum

_MEDIAN_OF_HALF_NORMAL = 0.674489750196
_STEPS = tuple(6.0 ** (k / 9.5 - 1.0) for k in range(20))
_FOREGROUND = 4.0
MIN_VOXELS = 50
_KEPT = 0.9


@on_device
def estimate_sigma(components: Array, mask: Array | None, *, device: Device) -> tuple[float, ...]:
    """Return the standard deviation of the noise of each component, in the component's unit.

    Parameters
    ----------
    components
        (x, y, z, component).
    mask
        (x, y, z); None: the whole image, or the voxels above the noise if no value is negative.

    Raises
    ------
    InputError
        If fewer than 50 voxels are left, or the image has no noise (a median of 0).
    """
    found = []
    for c in range(components.shape[3]):
        image = device.asarray(components[..., c])
        inside = _foreground(image) if mask is None else device.asarray(mask, bool)
        sigma = _median_sigma(image, inside)
        if not sigma > 0:
            raise InputError(f"component {c} has no noise to estimate: give sigma", field="sigma")
        found.append(sigma)
    return tuple(found)


@on_device
def estimate_sigma_map(components: Array, mask: Array | None, *, device: Device, radius: int = 6) -> Array:
    """Return the local standard deviation (x, y, z, component) of the noise in cubes of 2 radius + 1 voxels.

    The map extends outside the mask as far as cubes overlap it; further away it is the global value.
    """
    images = []
    for c, sigma in enumerate(estimate_sigma(components, mask, device=device)):
        image = device.asarray(components[..., c])
        inside = _foreground(image) if mask is None else device.asarray(mask, bool)
        images.append(_local_sigma(image, inside, sigma, radius))
    stacked: Array = device.xp.stack(images, axis=-1)
    return stacked


@on_device
def repeated_noise(repeats: Array, mask: Array | None, *, device: Device, local: bool = False) -> float | Array:
    """Return the standard deviation of the noise of `repeats` (x, y, z, repeat), or a map (x, y, z) of it.

    It is the root mean square of the estimates from differences of successive repeats. Without `mask` the
    voxels whose mean exceeds four times the noise are used, or all voxels of images with negative values.

    Raises
    ------
    InputError
        For fewer than two repeats, and as :func:`estimate_sigma`.
    """
    if repeats.shape[3] < 2:
        raise InputError("noise from repeats needs two or more volumes, got one", field="sigma")
    xp = device.xp
    images = device.asarray(repeats)
    inside = _foreground(xp.mean(images, axis=3)) if mask is None else device.asarray(mask, bool)
    differences = (images[..., 1:] - images[..., :-1]) / np.float32(math.sqrt(2.0))
    if local:
        maps = estimate_sigma_map(differences, inside, device=device)
        found: Array = xp.sqrt(xp.mean(maps * maps, axis=3))
        return found
    return float(np.sqrt(np.mean(np.square(estimate_sigma(differences, inside, device=device)))))


def quietest(parts: Array, mask: Array, *, device: Device) -> Array:
    """Return the unit-norm combination (x, y, z, 1) of `parts` (x, y, z, part) with least structure in `mask`.

    If all parts have the same noise, :func:`estimate_sigma` of the combination is that noise, with the same
    errors.
    """
    xp = device.xp
    inside = device.asarray(mask, bool)
    details = [_details(device.asarray(parts[..., c]), inside) for c in range(parts.shape[3])]
    usable = details[0][1]
    for _, known in details[1:]:
        usable = usable & known
    _check_enough(int(usable.sum()))
    rows = xp.stack([image[usable] for image, _ in details])
    size = xp.sum(rows * rows, axis=0)
    rows = rows[:, size <= xp.quantile(size, _KEPT)].astype(np.float64)
    _, vectors = xp.linalg.eigh(rows @ rows.T)
    combined: Array = parts @ vectors[:, :1].astype(np.float32)
    return combined


def _check_enough(count: int) -> None:
    if count < MIN_VOXELS:
        raise InputError(f"only {count} voxels to estimate the noise from: give sigma", field="sigma")


def _local_sigma(image: Array, inside: Array, sigma: float, radius: int) -> Array:
    xp = array_module(image)
    details, usable = _details(image, inside)
    counts = box_sum(usable, radius)
    enough = counts >= MIN_VOXELS
    counts = xp.maximum(counts, 1.0)
    size = abs(details) / np.float32(_MEDIAN_OF_HALF_NORMAL)
    local = xp.full(image.shape, np.float32(sigma * _STEPS[-1]))
    below, last = xp.zeros(image.shape), 0.0
    for step in _STEPS:  # interpolate at the first step with at least half of the cube below it
        now = box_sum(usable & (size < sigma * step), radius) / counts
        crossed = (below < 0.5) & (now >= 0.5)
        fraction = (0.5 - below) / xp.maximum(now - below, 1e-9)
        local = xp.where(crossed, sigma * (last + fraction * (step - last)), local)
        below, last = now, step
    result: Array = xp.where(enough, local, sigma).astype(np.float32)
    return result


def _median_sigma(image: Array, inside: Array) -> float:
    details, usable = _details(image, inside)
    _check_enough(int(usable.sum()))
    return float(array_module(image).median(abs(details[usable]))) / _MEDIAN_OF_HALF_NORMAL


def _details(image: Array, inside: Array) -> tuple[Array, Array]:
    """Return second differences scaled to the standard deviation of the noise, and the usable voxels."""
    xp = array_module(image)
    image = xp.where(inside, image, np.float32(0))
    usable = inside.copy()
    for axis in range(3):
        size = image.shape[axis]
        if size < 3:
            continue
        ahead = (slice(None),) * axis
        before, own, after = ((*ahead, slice(k, size - 2 + k)) for k in range(3))
        result, valid = xp.zeros_like(image), xp.zeros_like(usable)
        result[own] = (image[before] - 2 * image[own] + image[after]) / np.float32(math.sqrt(6.0))
        valid[own] = usable[before] & usable[own] & usable[after]
        image, usable = result, valid
    usable &= image != 0
    return image, usable


def _foreground(image: Array) -> Array:
    """Return voxels with a local mean above four times the noise; all if the image has negative values."""
    xp = array_module(image)
    everywhere: Array = xp.ones(image.shape, bool)
    if bool((image < 0).any()):
        return everywhere
    mean = box_sum(image, 1) / box_sum(everywhere, 1)
    inside = everywhere
    for _ in range(3):
        bright: Array = mean > _FOREGROUND * _median_sigma(image, inside)
        if int(bright.sum()) < 100 * MIN_VOXELS:
            break
        inside = bright
    return inside

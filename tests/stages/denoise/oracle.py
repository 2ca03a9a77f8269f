"""Non-local means voxel by voxel in float64, straight from its definition."""

from __future__ import annotations

import itertools

import numpy as np


def mirrored(image, depth):
    """(component, x, y, z) with `depth` mirrored voxels around it; an axis of one voxel is repeated."""
    for axis, layers in enumerate(depth, start=1):
        size = image.shape[axis]
        positions = np.arange(-layers, size + layers) % max(2 * size - 2, 1)
        image = np.take(image, np.where(positions < size, positions, 2 * size - 2 - positions), axis=axis)
    return image


def brute_force(images, sigma, search, patch, *, h=1.0, d0=0.0, floor=0.0, largest=False, candidates=None):
    """Filtered (x, y, z, component); `sigma` broadcasts against `images`."""
    images = np.asarray(images, float)
    shape = images.shape[:3]
    padded = mirrored(np.moveaxis(images, 3, 0), patch)
    noise = mirrored(np.moveaxis(np.broadcast_to(sigma, images.shape), 3, 0), patch)
    candidates = np.ones(shape, bool) if candidates is None else candidates
    result = np.zeros_like(images)
    for i in np.ndindex(shape):
        own = (slice(None), *(slice(a, a + 2 * r + 1) for a, r in zip(i, patch, strict=True)))
        total, weighted, most = 0.0, np.zeros(images.shape[3]), 0.0
        for j in itertools.product(
            *(range(max(a - s, 0), min(a + s + 1, n)) for a, s, n in zip(i, search, shape, strict=True))
        ):
            if j == i or not candidates[j]:
                continue
            other = (slice(None), *(slice(a, a + 2 * r + 1) for a, r in zip(j, patch, strict=True)))
            d2 = np.mean((padded[own] - padded[other]) ** 2 / noise[own] ** 2)
            weight = np.exp(-max(d2 - d0, 0) / h**2)
            weight = 0.0 if weight < floor else weight
            total, weighted, most = total + weight, weighted + weight * images[j], max(most, weight)
        self_weight = most if largest and most > 0 else 1.0
        result[i] = (weighted + self_weight * images[i]) / (total + self_weight)
    return result


def by_shifts(images, search, window, divisor):
    """Filtered (x, y, z, component), periodic: one pass per shift; the patch of i is i + `window` on each axis.

    w = exp(-sum of squared differences / divisor).
    """
    images = np.asarray(images, float)
    weighted, total = np.zeros_like(images), np.zeros(images.shape[:3])
    axes = (0, 1, 2)
    for shift in itertools.product(range(-search, search + 1), repeat=3):
        other = np.roll(images, [-s for s in shift], axes)
        squares = ((images - other) ** 2).sum(axis=3)
        distance = sum(
            np.roll(squares, [-p for p in patch], axes) for patch in itertools.product(window, repeat=3)
        )
        weight = np.exp(-distance / divisor)
        total += weight
        weighted += weight[..., None] * other
    return weighted / total[..., None]

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


def brute_force(
    images, sigma, search, patch, *, h=1.0, d0=0.0, floor=0.0, largest=False, candidates=None, sums=False
):
    """Filtered (x, y, z, component), with `sums` those of the weights too; `sigma` as broad as `images`."""
    images = np.asarray(images, float)
    shape = images.shape[:3]
    padded = mirrored(np.moveaxis(images, 3, 0), patch)
    noise = mirrored(np.moveaxis(np.broadcast_to(sigma, images.shape), 3, 0), patch)
    candidates = np.ones(shape, bool) if candidates is None else candidates
    result, totals = np.zeros_like(images), np.zeros(shape)
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
        totals[i] = total + self_weight
        result[i] = (weighted + self_weight * images[i]) / totals[i]
    return (result, totals) if sums else result


def brute_force_lmmse(images, guide, sigma, window, *, h, floor=0.0, candidates=None):
    """Linear estimate (x, y, z, component) from the covariance under weights made of `guide`."""
    images, shape = np.asarray(images, float), images.shape[:3]
    sigma = np.broadcast_to(sigma, images.shape)
    candidates = np.ones(shape, bool) if candidates is None else candidates
    result = np.empty(images.shape)
    for i in np.ndindex(shape):
        near = tuple(slice(max(a - s, 0), a + s + 1) for a, s in zip(i, window, strict=True))
        difference = (guide[near] - guide[i]) / sigma[i]
        weights = np.exp(-np.mean(difference**2, axis=-1) / h**2)
        weights = np.where(weights < floor, 0.0, weights) * candidates[near]
        weights[tuple(min(a, s) for a, s in zip(i, window, strict=True))] = 1.0
        values = (images[near] / sigma[i]).reshape(-1, images.shape[3])
        mean = np.average(values, axis=0, weights=weights.ravel())
        covariance = np.cov(values.T, aweights=weights.ravel(), ddof=0).reshape(len(mean), -1)
        variance, axes = np.linalg.eigh(covariance)
        gain = (axes * ((variance - 0.4) / (variance + 0.4)) ** 2) @ axes.T
        result[i] = sigma[i] * (mean + gain @ (images[i] / sigma[i] - mean))
    return result


def brute_force_blocks(
    images, sigma, search, patch, *, stride=2, mean_ratio=0.95, variance_ratio=0.5, h=1.0, largest=False,
    candidates=None, scaled=True,
):  # fmt: skip
    """Blockwise filtered (x, y, z, component); `scaled`: means and variances in units of the noise."""
    images = np.asarray(images, float)
    shape = images.shape[:3]
    deep = tuple(2 * p for p in patch)
    padded = mirrored(np.moveaxis(images, 3, 0), deep)
    noise = mirrored(np.moveaxis(np.broadcast_to(sigma, images.shape), 3, 0), deep)
    candidates = np.ones(shape, bool) if candidates is None else candidates

    def around(array, i):
        return array[(slice(None), *(slice(a + p, a + 3 * p + 1) for a, p in zip(i, patch, strict=True)))]

    guide = padded / noise if scaled else padded
    axes = (1, 2, 3)
    means = {i: around(guide, i).mean(axis=axes) for i in np.ndindex(shape)}
    variances = {i: around(guide, i).var(axis=axes).sum() for i in np.ndindex(shape)}
    total, count = np.zeros((*shape, images.shape[3])), np.zeros(shape)
    steps = [min(stride, p + 1) for p in patch]
    for i in itertools.product(*(range(0, n, s) for n, s in zip(shape, steps, strict=True))):
        weights, blocks = [], []
        for j in itertools.product(
            *(range(max(a - s, 0), min(a + s + 1, n)) for a, s, n in zip(i, search, shape, strict=True))
        ):
            larger = max(np.linalg.norm(means[i]), np.linalg.norm(means[j]))
            low, high = sorted((variances[i], variances[j]))
            alike = (
                np.linalg.norm(means[i] - means[j]) <= (1 - mean_ratio) * larger
                and low >= variance_ratio * high
            )
            if j != i and candidates[j] and alike:
                d2 = np.mean((around(padded, i) - around(padded, j)) ** 2 / around(noise, i) ** 2)
                weights.append(np.exp(-d2 / h**2))
                blocks.append(around(padded, j))
        weights.append(max(weights) if largest and weights else 1.0)
        blocks.append(around(padded, i))
        block = np.average(blocks, axis=0, weights=weights)
        for offset in np.ndindex(block.shape[1:]):
            k = tuple(a + o - p for a, o, p in zip(i, offset, patch, strict=True))
            if all(0 <= a < n for a, n in zip(k, shape, strict=True)):
                total[k] += block[(slice(None), *offset)]
                count[k] += 1
    return total / count[..., None]


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

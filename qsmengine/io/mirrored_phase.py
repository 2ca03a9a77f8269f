"""Phase stored in another orientation than the magnitude, found by the detail that both show.

Veins, surfaces and air are dark, and the phase is rough there, from noise and steep fields. Compared are

    l = -log magnitude,  q = sum over the axes of |arg(u(x + 1) conj(u(x))^2 u(x - 1))|,  u = exp(i phase),

both without their smooth mean, inside the head. The mean of l q over blocks is positive where the images
belong together. Phase counts as mirrored only if its mirror image agrees clearly better with the magnitude than
the phase itself does, by `EVIDENT` standard errors over the blocks, and better than chance by as many. Images
that do not decide, such as those of a bottle, pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.io.orientation import smoothed

EVIDENT = 5.0
"""Standard errors by which a mirror image must agree better than the image itself, and than chance."""
EDGE, BLOCK = 72, 8
"""Largest edge of the compared central part, and edge of a block [voxels]."""
FEWEST = 30
"""Least number of blocks."""
FINE, SMOOTH = 0.7, 2.0
"""Standard deviation of the Gaussians that suppress noise, and that give the smooth mean [voxels]."""
DARK = 0.1
"""Magnitude of the head's darkest voxels, relative to its bright ones."""
INSIDE = 0.99
"""Share of head around a voxel inside it."""
LARGEST = 4.0
"""Largest value of l and q that counts [median of their size]."""
_TURN = np.float32(2 * np.pi)


class _Details(NamedTuple):
    """l, q, and the voxels inside the head; each (x, y, z)."""

    dark: Array
    rough: Array
    inside: Array


class _Agreement(NamedTuple):
    """Sum of l q over each block (block,), and the number of voxels inside the head."""

    total: Array
    voxels: Array


def check_mirrored_phase(magnitude: Array, phase: Array, names: Sequence[str]) -> None:
    """Check that the phase of an echo is stored in the orientation of its magnitude.

    Parameters
    ----------
    magnitude, phase
        (x, y, z), finite; phase in radians.
    names
        Names of the files of the series' phase.

    Raises
    ------
    InputError
        If the phase is mirrored along axes of the array.
    """
    part = tuple(_central(count) for count in magnitude.shape)
    axes = _mirrored(_details(magnitude[part].astype(np.float32), phase[part].astype(np.float32)))
    if axes:
        raise InputError(
            f"the phase is mirrored along {', '.join('xyz'[a] for a in axes)} of the array against the "
            "magnitude, although the affines agree; store both in the same orientation",
            source=", ".join(dict.fromkeys(names)),
            field="affine",
        )


def _central(count: int) -> slice:
    """Return the middle of an axis, symmetric about its centre."""
    start = max(0, -(-(count - EDGE) // 2))
    return slice(start, count - start)


def _details(magnitude: Array, phase: Array) -> _Details:
    bright = _quantile(magnitude, 0.95)
    head = smoothed(magnitude, 1.0) > DARK * bright
    inside = smoothed(head.astype(np.float32), SMOOTH) > INSIDE
    dark = -np.log(magnitude + np.float32(DARK * bright / 2 + 1e-30))
    rough = np.zeros(phase.shape, np.float32)
    for axis in range(3):
        middle, ahead, behind = (
            tuple(part if a == axis else slice(None) for a in range(3))
            for part in (slice(1, -1), slice(2, None), slice(None, -2))
        )
        bend = phase[ahead] - 2 * phase[middle] + phase[behind]
        rough[middle] += np.abs(bend - _TURN * np.rint(bend / _TURN))
    return _Details(_detail(dark, inside), _detail(rough, inside), inside)


def _detail(image: Array, inside: Array) -> Array:
    """Return an image without its smooth mean, in units of its typical size, with limits."""
    fine = smoothed(image, FINE)
    detail = fine - smoothed(fine, SMOOTH)
    typical = _quantile(np.abs(detail[inside]), 0.5)
    limited: Array = np.clip(detail / typical, -LARGEST, LARGEST) if typical > 0 else np.zeros_like(detail)
    return limited


def _quantile(values: Array, share: float) -> float:
    """Return the value below which a share of all lies; 0 without values. np.median imports masked arrays."""
    place = int(share * values.size)
    return float(np.partition(values, place, axis=None)[place]) if values.size else 0.0


def _mirrored(found: _Details) -> tuple[int, ...]:
    """Return the array axes along which the phase is mirrored, () if none is evident."""
    stored = _agreement(found, ())
    nothing = stored._replace(total=np.zeros_like(stored.total))
    best: tuple[int, ...] = ()
    most = EVIDENT
    for axes in _mirrors(found.dark.shape):
        agreed = _agreement(found, axes)
        errors = min(_errors(agreed, stored), _errors(agreed, nothing))
        if errors > most:
            best, most = axes, errors
    return best


def _mirrors(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the combinations of axes that an image may be mirrored along."""
    long = [axis for axis, n in enumerate(shape) if n > 1]
    for count in range(1, len(long) + 1):
        yield from combinations(long, count)


def _agreement(found: _Details, axes: tuple[int, ...]) -> _Agreement:
    """Return the agreement of the magnitude and the phase mirrored along `axes`."""
    both = found.inside & np.flip(found.inside, axes)
    return _Agreement(_blocks(found.dark * np.flip(found.rough, axes) * both), _blocks(both))


def _blocks(image: Array) -> Array:
    """Return the sum over each block."""
    padded = np.pad(image, [(0, -n % BLOCK) for n in image.shape])
    x, y, z = (n // BLOCK for n in padded.shape)
    blocks = padded.reshape(x, BLOCK, y, BLOCK, z, BLOCK)
    total: Array = blocks.sum(axis=(1, 3, 5), dtype=np.float64).ravel()
    return total


def _errors(first: _Agreement, second: _Agreement) -> float:
    """Return the mean difference of two agreements over the blocks, in standard errors; 0 for too few."""
    both = np.minimum(first.voxels, second.voxels)
    used = both > 0
    if used.sum() < FEWEST:
        return 0.0
    weight = both[used] / both[used].sum()
    difference = (first.total[used] / first.voxels[used]) - (second.total[used] / second.voxels[used])
    mean = float((weight * difference).sum())
    error = float(np.sqrt((weight**2 * (difference - mean) ** 2).sum()))
    return mean / error if error > 0 else 0.0

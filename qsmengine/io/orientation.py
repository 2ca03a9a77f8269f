"""Echoes stored in different orientations under the same affine, found by comparing neighbouring echoes.

Magnitudes of two echoes are compared by their correlation, phases by that of their local gradients

    g = arg(u(x + 1) conj u(x)) - smooth mean,  u = exp(i phase),

which contain tissue borders and veins but neither the coil's phase nor the shim. An echo counts as mirrored
only if its mirror image agrees clearly better with its neighbour than the echo itself does.

Images of other contrast may agree better with a mirror image in what differs between left and right, as with
flip angles on both sides of the Ernst angle. Their edges, which have no sign, must agree better as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import combinations, pairwise
from typing import TypeAlias

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.io.in_parallel import in_parallel

_SAMPLES, _CENTRAL = 128, 72
"""Greatest number of voxels along each axis of the subsampled images, and of their compared central part."""
_LEAST_MAGNITUDE, _LEAST_PHASE = 0.5, 0.05
"""Correlation below which two images show too little of the same structure."""
_CHANCE = 6.0
"""Standard deviations, 1 / sqrt(number of voxels), that the correlation of unrelated images does not reach."""
_UNEXPLAINED, _GAIN = 0.75, 0.01
"""Greatest part of the disagreement of magnitudes, 1 - r, that an evident orientation leaves; least gain."""
_EDGE_GAIN = 0.1
"""Least gain of the correlation of edges."""
_RATIO = 1.5
"""Least ratio of the correlations of phase gradients in an evident orientation and in another."""
_SMOOTH = 2.0
"""Standard deviation [compared voxels] of the Gaussian that gives the smooth mean."""
_COHERENT, _POWER = 1.0, 4
"""Standard deviation [compared voxels] of the Gaussian that averages u; power of its modulus, the weight."""
_TURN = np.float32(2 * np.pi)
_REACH = 4.0
"""Standard deviations at which a Gaussian is truncated."""

_Axes: TypeAlias = tuple[int, ...]


def check_orientation(magnitude: Array, phase: Array, magnitudes: Sequence[str], phases: Sequence[str]) -> None:
    """Check that all echoes are stored in the same orientation.

    Parameters
    ----------
    magnitude, phase
        (x, y, z, echo), finite; phase in radians.
    magnitudes, phases
        Name of each echo's file.

    Raises
    ------
    InputError
        If an echo is mirrored, for its file; for both files if two echoes disagree and no third decides.
    """
    check_magnitudes(_echoes(magnitude), magnitudes)
    gradients = in_parallel(_gradients, _echoes(phase))
    _refuse([_phase_flip(a, b) for a, b in pairwise(gradients)], phases)


def check_magnitudes(
    images: Sequence[Array],
    names: Sequence[str],
    what: tuple[str, str] = ("echo", "echoes"),
    *,
    alike: bool = True,
) -> None:
    """Raise InputError if one of some images (x, y, z) of an object is mirrored, as :func:`check_orientation`.

    `names` are their files, `what` is what one of them is called, and several; `alike`: they have one contrast.
    """
    centred = [[image - image.mean(dtype=np.float64).astype(np.float32)] for image in images]
    flip = _magnitude_flip if alike else _unlike_flip
    _refuse([flip(a, b) for a, b in pairwise(centred)], names, what)


def mirrored_axes(first: Array, second: Array) -> tuple[int, ...]:
    """Return the array axes along which an image (x, y, z) is evidently mirrored against another one, or ().

    The two may differ in contrast.
    """
    part = central_part(first.shape)
    images = [np.ascontiguousarray(image[part], dtype=np.float32) for image in (first, second)]
    one, other = ([image - image.mean(dtype=np.float64).astype(np.float32)] for image in images)
    return _unlike_flip(one, other) or ()


def _echoes(images: Array) -> list[Array]:
    """Return the central part of each echo of `images` (x, y, z, echo)."""
    part = central_part(images.shape[:3])
    return [np.ascontiguousarray(images[..., echo][part]) for echo in range(images.shape[3])]


def central_part(shape: Sequence[int]) -> tuple[slice, ...]:
    """Return the indices of a subsampled central part of an image (x, y, z), enough for comparing echoes."""
    return tuple(_central(count) for count in shape)


def _central(count: int) -> slice:
    """Return every n-th voxel of the middle of an axis, symmetric to within a voxel."""
    step = -(-count // _SAMPLES)
    samples = (count - 1) // step + 1
    start = (count - 1 - (samples - 1) * step) // 2 + step * (max(0, samples - _CENTRAL) // 2)
    return slice(start, count - start, step)


def _refuse(
    flips: Sequence[_Axes | None], names: Sequence[str], what: tuple[str, str] = ("echo", "echoes")
) -> None:
    """Raise InputError if neighbouring echoes are mirrored; `flips` are None where the images do not decide."""
    orientation: list[frozenset[int]] = [frozenset()]
    for flip in flips:
        orientation.append(orientation[-1] ^ frozenset(flip or ()))
    most = max(orientation, key=orientation.count)
    odd = [echo for echo, found in enumerate(orientation) if found != most]
    if not odd:
        return
    axes = ", ".join("xyz"[axis] for axis in sorted(orientation[odd[0]] ^ most))
    decided = None not in flips and 2 * len(odd) < len(names)
    pair = next([echo, echo + 1] for echo, flip in enumerate(flips) if flip)
    text = (
        f"{what[0]} {', '.join(str(echo + 1) for echo in odd)} is mirrored along {axes} of the array"
        if decided
        else f"{what[1]} {pair[0] + 1} and {pair[1] + 1} are mirror images along {axes} of the array"
    )
    raise InputError(
        f"{text}, although the affines agree; store all {what[1]} in the same orientation, or leave out "
        "those that differ",
        source=", ".join(dict.fromkeys(names[echo] for echo in (odd if decided else pair))),
        field="affine",
    )


def _magnitude_flip(first: Sequence[Array], second: Sequence[Array]) -> _Axes | None:
    """Return the array axes along which a magnitude is mirrored, () for none; None if this is not evident."""
    best, axes, other = _best(first, second, signed=False)
    gained = best > other + _GAIN and 1 - best < _UNEXPLAINED * (1 - other)
    return axes if best > _LEAST_MAGNITUDE and gained else None


def _unlike_flip(first: Sequence[Array], second: Sequence[Array]) -> _Axes | None:
    """Return the same for magnitudes of different contrast, whose edges must agree, too."""
    axes = _magnitude_flip(first, second)
    return axes if not axes or _edges_are_mirrored(first[0], second[0], axes) else None


def _edges_are_mirrored(first: Array, second: Array, axes: _Axes) -> bool:
    """Return whether the edges of an image agree better with those of another if this is mirrored."""
    one, other = ([_edges(image)] for image in (first, second))
    mirrored, stored = (_correlation(one, other, flip, signed=False) for flip in (axes, ()))
    return mirrored > stored + _EDGE_GAIN and 1 - mirrored < _UNEXPLAINED * (1 - stored)


def _edges(image: Array) -> Array:
    """Return the modulus of the gradient relative to the image (x, y, z), smoothed, less its mean.

    Relative, as the outline of a brighter region is not a stronger edge.
    """
    smooth = smoothed(image - image.min(), _COHERENT)
    long = [axis for axis, n in enumerate(image.shape) if n > 1]
    steps = np.sqrt(sum(np.gradient(smooth, axis=axis) ** 2 for axis in long))
    relative = steps / np.maximum(smooth + np.float32(smooth.mean(dtype=np.float64)), np.float32(1e-12))
    edges: Array = relative - np.float32(relative.mean(dtype=np.float64))
    return edges


def _phase_flip(first: Sequence[Array], second: Sequence[Array]) -> _Axes | None:
    """Return the array axes along which a phase is mirrored, () for none; None if this is not evident."""
    best, axes, other = _best(first, second, signed=True)
    return axes if best > max(_LEAST_PHASE, _RATIO * other) else None


def _best(first: Sequence[Array], second: Sequence[Array], *, signed: bool) -> tuple[float, _Axes, float]:
    """Return the best correlation over all orientations, its axes, and the best one of the stored and mirrored.

    That of images as stored is compared with the best mirrored one, a mirrored one with that as stored.
    """
    long = [axis for axis, n in enumerate(first[0].shape) if n > 1]
    flips = [axes for count in range(len(long) + 1) for axes in combinations(long, count)]
    stored, *others = ((_correlation(first, second, flip, signed=signed), flip) for flip in flips)
    mirrored = max(others, default=(0.0, ()))
    chance = _CHANCE / np.sqrt(max(first[0].size, 1))
    if mirrored[0] > max(stored[0], chance):
        return (*mirrored, stored[0])
    return (*stored, mirrored[0])


def _gradients(phase: Array) -> list[Array]:
    """Return the local phase gradients (x, y, z) along each array axis, weighted by the phase's coherence."""
    squares = [smoothed(part, _COHERENT) ** 2 for part in (np.cos(phase), np.sin(phase))]
    weight = (squares[0] + squares[1]) ** (_POWER // 2)
    found = []
    for axis in range(3):
        step = _ahead(phase, axis) - _behind(phase, axis)
        step -= _TURN * np.rint(step / _TURN)
        both = np.minimum(_ahead(weight, axis), _behind(weight, axis))
        share = np.maximum(smoothed(both, _SMOOTH), np.float32(1e-6))
        found.append(both * (step - smoothed(step * both, _SMOOTH) / share))
    return found


def smoothed(image: Array, sigma: float) -> Array:
    """Return `image` (x, y, z) smoothed by a Gaussian, as products of matrices, for images this small."""
    if not image.size:
        return image
    along_x, along_y, along_z = (_gaussian(n, sigma) for n in image.shape)
    in_planes = along_y @ image @ along_z.T
    mean: Array = (along_x @ in_planes.swapaxes(0, 1)).swapaxes(0, 1)
    return mean


@cache
def _gaussian(n: int, sigma: float) -> Array:
    """Return the float32 matrix (n, n) of a Gaussian of sum 1, truncated and mirrored at the ends."""
    reach = math.ceil(_REACH * sigma)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    rows, places = np.arange(n), np.pad(np.arange(n), reach, mode="symmetric")
    matrix = np.zeros((n, n))
    for shift, weight in enumerate(window / window.sum()):
        matrix[rows, places[shift : shift + n]] += weight
    return matrix.astype(np.float32)


def _correlation(first: Sequence[Array], second: Sequence[Array], flip: _Axes, *, signed: bool) -> float:
    """Return the correlation of images or of gradients, whose sign changes along mirrored axes."""
    product = sum(
        float(np.vdot(a, np.flip(b, flip))) * (-1 if signed and axis in flip else 1)
        for axis, (a, b) in enumerate(zip(first, second, strict=True))
    )
    powers = (sum(float(np.vdot(a, a)) for a in images) for images in (first, second))
    norm = math.sqrt(math.prod(powers))
    return product / norm if norm > 0 else 0.0


def _ahead(image: Array, axis: int) -> Array:
    return image[tuple(slice(1, None) if a == axis else slice(None) for a in range(3))]


def _behind(image: Array, axis: int) -> Array:
    return image[tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))]

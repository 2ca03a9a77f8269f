"""Alignment of two images in scanner coordinates, with a check that refuses wrong pairs.

The search starts where the images agree best: at their headers, or with the centres of mass on each other. A
rigid alignment is checked further against the mirror image: turned left to right, the moving image must fit
clearly worse. It does not if the images show two heads or if one of them is mirrored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from qsmengine.errors import InputError, UsageError
from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.agreement import Agreement, agreement, smoothed, working_grid
from qsmengine.ops.registration import AnyKind, find_transform
from qsmengine.ops.transforms import Transform, Volume, bring

Find: TypeAlias = Callable[[Volume, Grid, Volume, Grid, AnyKind, FloatArray], Transform]
"""Function that finds a transform, see :func:`qsmengine.ops.registration.find_transform`."""
KINDS: tuple[AnyKind, ...] = ("rigid", "affine", "syn")
LINEAR_STEP, WARP_STEP, MIRROR_STEP = 2.0, 1.5, 3.0
"""Least voxel edge [mm] at which matrices, displacements and mirror images are found."""
SMALLEST = 16
"""Least number of voxels along each axis."""
SHEAR = 0.01
"""Largest cosine between voxel axes."""


class Limits(NamedTuple):
    """Limits below which an alignment is refused.

    Parameters
    ----------
    overlap, edges
        Of :class:`~qsmengine.ops.agreement.Agreement`.
    mirror
        Mutual information NMI - 1 over that of the mirror image; rigid alignments only.
    """

    overlap: float = 0.85
    edges: float = 0.6
    mirror: float = 1.1


@dataclass(frozen=True)
class Alignment:
    """Transform between two images and the check of it.

    Parameters
    ----------
    kind, transform
        From the fixed to the moving image.
    agreement
        Agreement of the aligned images.
    mirror
        Mutual information NMI - 1 over that of the mirror image; None for other than rigid alignments.
    problems
        Limits that the alignment misses, one line each.
    """

    kind: AnyKind
    transform: Transform
    agreement: Agreement
    mirror: float | None
    problems: tuple[str, ...]


def align(
    fixed: Volume,
    fixed_grid: Grid,
    moving: Volume,
    moving_grid: Grid,
    kind: AnyKind = "rigid",
    *,
    limits: Limits | None = None,
    find: Find = find_transform,
) -> Alignment:
    """Align `moving` with `fixed`, two images (x, y, z) of any contrast and geometry.

    Parameters
    ----------
    fixed, fixed_grid, moving, moving_grid
        Images, each on its grid.
    kind
        "rigid" for two images of one head, "affine" or "syn" for two heads or a template.
    limits
        Limits of the check; None: the defaults.
    find
        Registration function.

    Raises
    ------
    UsageError
        For an unknown kind.
    InputError
        For an image that is too small, constant, or not finite, and for sheared voxels.
    DeviceError
        If the registration library is missing.
    """
    if kind not in KINDS:
        raise UsageError(f"kind: {kind!r} given; one of {', '.join(KINDS)} is needed")
    for name, image, grid in (("fixed image", fixed, fixed_grid), ("moving image", moving, moving_grid)):
        _check(name, image, grid)
    edge = WARP_STEP if kind == "syn" else LINEAR_STEP
    small = [_small(image, grid, edge) for image, grid in ((fixed, fixed_grid), (moving, moving_grid))]
    start = _start(*small[0], *small[1])
    transform = find(*small[0], *small[1], kind, start)
    found = agreement(fixed, fixed_grid, moving, moving_grid, transform)
    ratio = None
    if kind == "rigid":
        ratio = _over_mirror(fixed, fixed_grid, moving, moving_grid, transform, found, find)
    return Alignment(kind, transform, found, ratio, _problems(found, ratio, limits or Limits()))


def _check(name: str, image: Volume, grid: Grid) -> None:
    if image.shape != grid.shape:
        raise InputError(f"has shape {image.shape}, its grid has {grid.shape}", source=name)
    if min(grid.shape) < SMALLEST:
        raise InputError(f"{grid.shape} voxels; at least {SMALLEST} along each axis are needed", source=name)
    if not np.isfinite(image).all():
        raise InputError("contains values that are not finite", source=name)
    if image.min() == image.max():
        raise InputError(f"every voxel is {float(image.min()):g}", source=name)
    angles = grid.axes.T @ grid.axes - np.eye(3)
    if np.abs(angles).max() > SHEAR:
        raise InputError("voxel axes are not perpendicular; resample the image", source=name, field="affine")


def _small(image: Volume, grid: Grid, edge: float) -> tuple[Volume, Grid]:
    """Return an image on voxels of at least `edge` [mm]."""
    coarse = working_grid(grid, edge)
    return bring(smoothed(image, grid, edge), grid, coarse, Transform(np.eye(4))), coarse


def _start(fixed: Volume, fixed_grid: Grid, moving: Volume, moving_grid: Grid) -> FloatArray:
    """Return the better start: the headers, or the centres of mass on each other."""
    centres = np.eye(4)
    centres[:3, 3] = _centre(moving, moving_grid) - _centre(fixed, fixed_grid)
    scores = []
    for start in (np.eye(4), centres):
        try:
            score = agreement(fixed, fixed_grid, moving, moving_grid, Transform(start)).information
        except InputError:  # no common voxels
            score = 0.0
        scores.append((score, start))
    return max(scores, key=lambda pair: pair[0])[1]


def _centre(image: Volume, grid: Grid) -> FloatArray:
    weight = np.maximum(image, 0).astype(np.float64)
    axes = [weight.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    voxel = [float((np.arange(len(w)) * w).sum() / max(w.sum(), 1e-30)) for w in axes]
    return np.asarray((grid.affine @ [*voxel, 1.0])[:3], dtype=np.float64)


def _over_mirror(
    fixed: Volume,
    fixed_grid: Grid,
    moving: Volume,
    moving_grid: Grid,
    transform: Transform,
    found: Agreement,
    find: Find,
) -> float:
    """Return NMI - 1 of the alignment over that of the moving image mirrored left to right and realigned."""
    small = [_small(image, grid, MIRROR_STEP) for image, grid in ((fixed, fixed_grid), (moving, moving_grid))]
    image, grid = small[1]
    axis = int(np.abs(grid.axes[0]).argmax())
    mirrored = np.ascontiguousarray(np.flip(image, axis))
    start = transform.matrix.copy()
    start[:3, 3] += _centre(mirrored, grid) - _centre(image, grid)
    other = find(*small[0], mirrored, grid, "rigid", start)
    against = agreement(*small[0], mirrored, grid, other)
    return (found.information - 1) / max(against.information - 1, 1e-6)


def _problems(found: Agreement, ratio: float | None, limits: Limits) -> tuple[str, ...]:
    problems = []
    if found.overlap < limits.overlap:
        problems.append(f"the heads overlap by {found.overlap:.2f}, less than {limits.overlap:g}")
    if found.edges < limits.edges:
        problems.append(f"the edges agree by {found.edges:.2f}, less than {limits.edges:g}")
    if ratio is not None and ratio < limits.mirror:
        problems.append(
            f"the moving image fits {ratio:.2f} times as well as its mirror image, less than "
            f"{limits.mirror:g}: the images show two heads, or one of them is mirrored"
        )
    return tuple(problems)

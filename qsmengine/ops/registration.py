"""Registration of volumes through ANTs, and resampling on one grid. The only home of `ants`.

A transform maps a point of the fixed image to the corresponding point of the moving image. :func:`register`
finds a (4, 4) matrix [mm] between points along the array axes of one grid, the origin in the centre of voxel
(0, 0, 0); :func:`find_transform` works in scanner coordinates, between images of different geometry, and
:func:`find_warp` compares several pairs of images at once.

Mattes' mutual information at four resolutions; Avants et al. 2011, 10.1016/j.neuroimage.2010.09.025. SyN:
Avants et al. 2008, 10.1016/j.media.2007.06.004.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.errors import DeviceError
from qsmengine.grid import LPS, FloatArray, Grid, Vector3
from qsmengine.io.owned import private_folder
from qsmengine.ops.transforms import Transform, Warp

Kind = Literal["rigid", "affine"]
AnyKind = Literal["rigid", "affine", "syn"]
Volume = npt.NDArray[np.float32]
MISSING = "needs the package antspyx: pip install 'qsmengine[registration]'"
SEED = 1
SAMPLING = 0.5
"""Fraction of the voxels in which the similarity is measured."""
RIGID_SAMPLING = 0.25
"""The same for six parameters between two images of one head: as accurate, in half the time."""
ITERATIONS = (500, 300, 100, 20)
"""Iteration limits, from a sixth of the resolution to the full resolution."""
WARP_ITERATIONS = (30, 20, 5)
"""Iteration limits of a warp, from a quarter of the resolution to the full resolution."""
BINS = 32
"""Histogram bins of the mutual information of a warp."""


class Channel(NamedTuple):
    """Two images (x, y, z) that show the same, in any units, and the weight of their agreement."""

    fixed: Volume
    moving: Volume
    weight: float


def register(fixed: Volume, moving: Volume, voxel_size: Vector3, kind: Kind) -> FloatArray:
    """Return the transform (4, 4) [mm] from `fixed` to `moving`, two images (x, y, z) on one grid.

    Parameters
    ----------
    voxel_size
        [mm].
    kind
        "rigid" (6 parameters) or "affine" (12).

    Raises
    ------
    DeviceError
        If the package antspyx is not installed.
    """
    ants = _ants()
    images = [_image(ants, array, voxel_size) for array in (fixed, moving)]
    with private_folder("registration") as folder:
        found = ants.registration(
            *images,
            type_of_transform=kind.capitalize(),
            initial_transform="Identity",
            outprefix=str(folder / "found"),
            aff_random_sampling_rate=SAMPLING,
            aff_iterations=ITERATIONS,
            random_seed=SEED,
        )
        return _matrix(ants, found["fwdtransforms"])


def find_transform(
    fixed: Volume, fixed_grid: Grid, moving: Volume, moving_grid: Grid, kind: AnyKind, start: FloatArray
) -> Transform:
    """Return the transform from `fixed` to `moving` in scanner coordinates.

    Parameters
    ----------
    fixed, moving
        Images (x, y, z), each on its grid, whose voxel axes are perpendicular.
    kind
        "rigid" (6 parameters), "affine" (12), or "syn": affine, then a diffeomorphism on the grid of `fixed`.
    start
        (4, 4) [mm] transform from which the search starts.

    Raises
    ------
    DeviceError
        If the package antspyx is not installed.
    """
    ants = _ants()
    images = [_placed(ants, fixed, fixed_grid), _placed(ants, moving, moving_grid)]
    with private_folder("registration") as folder:
        first = folder / "start.mat"
        ants.write_transform(_affine(ants, LPS @ start @ LPS), str(first))
        found = ants.registration(
            *images,
            type_of_transform="SyN" if kind == "syn" else kind.capitalize(),
            initial_transform=str(first),
            outprefix=str(folder / "found"),
            aff_metric="mattes",
            aff_random_sampling_rate=RIGID_SAMPLING if kind == "rigid" else SAMPLING,
            random_seed=SEED,
        )
        steps = [name for name in found["fwdtransforms"] if name.endswith(".mat")]
        matrix = LPS @ _matrix(ants, steps) @ LPS
        if kind != "syn":
            return Transform(matrix)
        return _with_warps(ants, matrix, found, fixed_grid)


def find_warp(channels: Sequence[Channel], fixed_grid: Grid, moving_grid: Grid, start: FloatArray) -> Transform:
    """Return the matrix `start` with the warp under which all channels agree best (SyN, mutual information).

    Parameters
    ----------
    channels
        Pairs of images; the first one's weight is taken as 1.
    fixed_grid, moving_grid
        Grids of all fixed and of all moving images, whose voxel axes are perpendicular.
    start
        (4, 4) [mm] from points of the fixed to points of the moving images.

    Raises
    ------
    DeviceError
        If the package antspyx is not installed.
    """
    ants = _ants()
    pairs = [
        (_placed(ants, one.fixed, fixed_grid), _placed(ants, one.moving, moving_grid), one.weight)
        for one in channels
    ]
    (fixed, moving, unit), *others = pairs
    with private_folder("registration") as folder:
        first = folder / "start.mat"
        ants.write_transform(_affine(ants, LPS @ start @ LPS), str(first))
        found = ants.registration(
            fixed,
            moving,
            type_of_transform="SyNOnly",
            initial_transform=str(first),
            outprefix=str(folder / "found"),
            syn_metric="mattes",
            syn_sampling=BINS,
            reg_iterations=WARP_ITERATIONS,
            multivariate_extras=[("mattes", f, m, weight / unit, BINS) for f, m, weight in others] or None,
            random_seed=SEED,
        )
        return _with_warps(ants, start, found, fixed_grid)


def _with_warps(ants: Any, matrix: FloatArray, found: Any, grid: Grid) -> Transform:
    """Return a matrix with the displacement fields, there and back, that ANTs has written."""
    forward = next(name for name in found["fwdtransforms"] if not name.endswith(".mat"))
    back = next(name for name in found["invtransforms"] if not name.endswith(".mat"))
    return Transform(matrix, _warp(ants, Path(forward), grid), _warp(ants, Path(back), grid))


def _matrix(ants: Any, files: Sequence[str]) -> FloatArray:
    """Return the product of affine transforms, listed as ANTs does: the first is applied last."""
    points = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    for name in reversed(files):
        step = ants.read_transform(name)
        points = np.array([step.apply_to_point(tuple(point)) for point in points])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = (points[1:] - points[0]).T, points[0]
    return matrix


def _affine(ants: Any, matrix: FloatArray) -> Any:
    numbers = [*matrix[:3, :3].ravel(), *matrix[:3, 3]]
    return ants.create_ants_transform(
        transform_type="AffineTransform", precision="float", dimension=3, parameters=numbers
    )


def _warp(ants: Any, path: Path, grid: Grid) -> Warp:
    """Read a displacement field and turn its components to the axes of scanner coordinates (RAS+)."""
    field = np.asarray(ants.image_read(str(path)).numpy(), dtype=np.float32)
    return Warp(field * np.diag(LPS)[:3].astype(np.float32), grid)


def resample(image: Volume, matrix: FloatArray, voxel_size: Vector3) -> Volume:
    """Resample the moving image (x, y, z) to the fixed one's voxels by cubic splines; not below 0.

    The image is extrapolated by its outermost voxels.
    """
    from scipy.ndimage import affine_transform

    size = np.asarray(voxel_size)
    in_voxels = matrix[:3, :3] * size[None, :] / size[:, None]
    moved = affine_transform(image, in_voxels, matrix[:3, 3] / size, order=3, mode="nearest", output=np.float32)
    return np.asarray(np.maximum(moved, 0), dtype=np.float32)


def rotation_of(matrix: FloatArray) -> FloatArray:
    """Return the rotation (3, 3) nearest to a transform's linear part (its polar factor)."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    flip = np.diag([1.0, 1.0, math.copysign(1.0, np.linalg.det(left @ right))])
    return np.asarray(left @ flip @ right, dtype=np.float64)


def available() -> bool:
    """Return whether the package antspyx is installed; it is not imported."""
    return find_spec("ants") is not None


def _ants() -> Any:
    try:
        import ants
    except ImportError as error:
        raise DeviceError(f"registration {MISSING}") from error
    return ants


def _image(ants: Any, array: npt.NDArray[Any], voxel_size: Vector3) -> Any:
    return ants.from_numpy(np.asarray(array, dtype=np.float32), spacing=tuple(float(h) for h in voxel_size))


def _placed(ants: Any, array: npt.NDArray[Any], grid: Grid) -> Any:
    """Return an image in ITK's coordinates, whose first two axes point left and back."""
    affine = LPS @ grid.affine
    return ants.from_numpy(
        np.asarray(array, dtype=np.float32),
        origin=tuple(float(x) for x in affine[:3, 3]),
        spacing=grid.voxel_edges,
        direction=affine[:3, :3] / np.asarray(grid.voxel_edges),
    )

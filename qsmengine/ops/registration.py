"""Rigid and affine registration of volumes through ANTs, and resampling. The only home of `ants`.

A transform is a (4, 4) matrix [mm] between points along the array axes, the origin in the centre of voxel
(0, 0, 0): it maps a point of the fixed image to the corresponding point of the moving image.

Mattes' mutual information at four resolutions; Avants et al. 2011, 10.1016/j.neuroimage.2010.09.025.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qsmengine.errors import DeviceError
from qsmengine.grid import FloatArray, Vector3
from qsmengine.io.owned import private_folder

Kind = Literal["rigid", "affine"]
Volume = npt.NDArray[np.float32]
SEED = 1
SAMPLING = 0.5
"""Fraction of the voxels in which the similarity is measured."""
ITERATIONS = (500, 300, 100, 20)
"""Iteration limits, from a sixth of the resolution to the full resolution."""


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
        steps = [ants.read_transform(name) for name in reversed(found["fwdtransforms"])]
    points = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    for step in steps:
        points = np.array([step.apply_to_point(tuple(point)) for point in points])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = (points[1:] - points[0]).T, points[0]
    return matrix


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


def _ants() -> Any:
    try:
        import ants
    except ImportError as error:
        raise DeviceError(
            "registration needs the package antspyx: pip install 'qsmengine[registration]'"
        ) from error
    return ants


def _image(ants: Any, array: npt.NDArray[Any], voxel_size: Vector3) -> Any:
    return ants.from_numpy(np.asarray(array, dtype=np.float32), spacing=tuple(float(h) for h in voxel_size))

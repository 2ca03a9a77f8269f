"""Orders and frames of the six tensor components in other programs, and colour FA."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import array_module
from qsmengine.data import Array
from qsmengine.errors import UsageError
from qsmengine.grid import Grid

_PLACES = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


class TensorOrder(NamedTuple):
    """Order of the `components` in the file, and their frame: `world` axes or FSL's."""

    components: tuple[str, ...]
    world: bool


TENSOR_ORDERS = {
    "fsl": TensorOrder(("xx", "xy", "xz", "yy", "yz", "zz"), world=False),
    "mrtrix": TensorOrder(("xx", "yy", "zz", "xy", "xz", "yz"), world=True),
    "dipy": TensorOrder(("xx", "xy", "yy", "xz", "yz", "zz"), world=False),
    "nifti": TensorOrder(("xx", "xy", "yy", "xz", "yz", "zz"), world=False),
}
"""fsl: dtifit's ``_tensor``; mrtrix: dwi2tensor's, along the scanner's axes; dipy: lower triangle, as DIPY's
``lower_triangular`` for the same table; nifti: that order under the intent SYMMATRIX."""
KURTOSIS_ORDER = (
    "xxxx", "yyyy", "zzzz", "xxxy", "xxxz", "xyyy", "yyyz", "xzzz", "yzzz", "xxyy", "xxzz", "yyzz",
    "xxyz", "xyyz", "xyzz",
)  # fmt: skip
"""Order of the components of ``kurtosis_tensor``, as in DIPY and MRtrix3's ``dwi2tensor -dkt``."""


def reorder_tensor(tensor: Array, order: str, grid: Grid) -> Array:
    """Convert a tensor (x, y, z, 6) from FSL's order and frame to another program's.

    Raises
    ------
    UsageError
        For an order that is not one of TENSOR_ORDERS.
    """
    if order not in TENSOR_ORDERS:
        raise UsageError(f"unknown tensor order {order!r} (known: {', '.join(TENSOR_ORDERS)})")
    components, world = TENSOR_ORDERS[order]
    if world:
        tensor = rotate_tensor(tensor, frame_to_world(grid))
    places = [TENSOR_ORDERS["fsl"].components.index(name) for name in components]
    return tensor if places == sorted(places) else tensor[..., places]


def frame_to_world(grid: Grid) -> Array:
    """Return the orthogonal (3, 3) matrix that rotates vectors from FSL's frame to the scanner's axes."""
    axes = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(axes)
    flip = np.diag([-1.0 if grid.handedness > 0 else 1.0, 1.0, 1.0])
    rotation: Array = left @ right @ flip
    return rotation


def rotate_tensor(tensor: Array, rotation: Array) -> Array:
    """Return R D R' for tensors (x, y, z, 6) in the order xx, xy, xz, yy, yz, zz."""
    matrix = np.zeros((6, 6))
    for row, (i, j) in enumerate(_PLACES):
        for column, (k, m) in enumerate(_PLACES):
            matrix[row, column] = rotation[i, k] * rotation[j, m]
            if k != m:
                matrix[row, column] += rotation[i, m] * rotation[j, k]
    turned: Array = tensor @ array_module(tensor).asarray(matrix.T, dtype=np.float32)
    return turned


def colour_fa(v1: Array, fa: Array) -> Array:
    """Return colour FA (x, y, z, 3) [1]: |V1| times FA limited to 0..1; red, green, blue for x, y, z of V1."""
    xp = array_module(v1)
    coloured: Array = xp.abs(v1)
    coloured *= xp.clip(fa, 0.0, 1.0)[..., None]
    return coloured

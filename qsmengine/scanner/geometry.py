"""Geometry of MRD images, from patient coordinates (LPS) to scanner coordinates (RAS).

The header gives the centre of the image (position), the directions of its three axes, and its field of view.
Voxel (i, j, k) of a matrix (nx, ny, nz) lies at position + (i - (nx - 1) / 2) fov_x / nx row + ..., likewise
along column and slice. Images that were flipped or rotated after the reconstruction name their axes in the
attributes ImageRowDir, ImageColumnDir and ImageSliceDir; the header then holds the directions of the encoding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qsmengine.errors import InputError
from qsmengine.grid import LPS, FloatArray

_AXES = (
    ("ImageRowDir", "read_dir"),
    ("ImageColumnDir", "phase_dir"),
    ("ImageSliceDir", "slice_dir"),
)
SPACING = 0.01
"""Fraction of the distance of slices by which distances may differ."""
PARALLEL = math.cos(math.radians(1.0))
"""Least cosine of the angle between the stack of slices and their normal."""


@dataclass(frozen=True)
class Frame:
    """Position of an image in LPS: shape (x, y, z), centre [mm], axes (unit vectors in columns), edges [mm]."""

    shape: tuple[int, int, int]
    centre: FloatArray
    axes: FloatArray
    edges: FloatArray

    @classmethod
    def of(cls, head: Any, meta: Any) -> Frame:
        """Return the frame of an image; raises InputError for a missing or impossible geometry."""
        x, y, z = (int(n) for n in head.matrix_size)
        axes = np.stack([_direction(head, meta, *names) for names in _AXES], axis=1)
        extent = np.array(list(head.field_of_view), dtype=np.float64)
        centre = np.array(list(head.position), dtype=np.float64)
        if not (np.isfinite(extent).all() and (extent > 0).all()):
            raise InputError(f"{extent.tolist()} mm", source="image", field="field_of_view")
        if not np.isfinite(centre).all():
            raise InputError(f"{centre.tolist()} mm", source="image", field="position")
        if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
            raise InputError("the directions are not perpendicular", source="image", field="read_dir")
        return cls((x, y, z), centre, axes, extent / (x, y, z))


def affine_of(frames: Sequence[Frame]) -> FloatArray:
    """Return the affine (voxel indices -> RAS [mm]) of a volume, or of single slices in the order of position.

    Raises
    ------
    InputError
        For slices of different shape or orientation, at uneven distances, or not stacked along their normal.
    """
    first = frames[0]
    steps = first.axes * first.edges
    if len(frames) > 1:
        steps = np.column_stack((steps[:, :2], _step(frames)))
    counts = np.array([*first.shape[:2], first.shape[2] if len(frames) == 1 else 1])
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = first.centre - steps @ ((counts - 1) / 2)
    result: FloatArray = LPS @ affine
    return result


def depth(frame: Frame) -> float:
    """Return the position of a slice along its normal [mm], by which slices are sorted."""
    return float(frame.centre @ frame.axes[:, 2])


def _step(frames: Sequence[Frame]) -> FloatArray:
    first = frames[0]
    for frame in frames:
        if frame.shape != first.shape or frame.shape[2] != 1:
            raise InputError("the slices have different matrices", source="image", field="matrix_size")
        if np.abs(frame.axes - first.axes).max() > 1e-3 or np.abs(frame.edges - first.edges).max() > 1e-3:
            raise InputError(
                "the slices have different orientations or sizes", source="image", field="read_dir"
            )
    centres = np.stack([frame.centre for frame in frames])
    steps = np.diff(centres, axis=0)
    step: FloatArray = (centres[-1] - centres[0]) / (len(frames) - 1)
    length = float(np.linalg.norm(step))
    if not length > 0 or np.linalg.norm(steps - step, axis=1).max() > SPACING * length:
        found = sorted({round(float(np.linalg.norm(one)), 3) for one in steps})
        raise InputError(
            f"the distances of the slices differ: {found[:5]} mm", source="image", field="position"
        )
    if abs(float(step @ first.axes[:, 2])) < PARALLEL * length:
        raise InputError("the slices are not stacked along their normal", source="image", field="position")
    return step


def _direction(head: Any, meta: Any, attribute: str, field: str) -> FloatArray:
    given = meta.get(attribute)
    try:
        values = [float(text) for text in (list(getattr(head, field)) if given is None else given)]
    except (TypeError, ValueError):
        raise InputError(f"{given!r} is not a direction", source="image", field=attribute) from None
    vector = np.array(values, dtype=np.float64)
    length = float(np.linalg.norm(vector)) if vector.shape == (3,) else math.nan
    if not 0.5 < length < 2.0:
        raise InputError(
            f"{values} is not a direction", source="image", field=field if given is None else attribute
        )
    unit: FloatArray = vector / length
    return unit

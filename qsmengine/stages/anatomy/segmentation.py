"""Classes and brain mask of a T1-weighted image, independent of the head's pose and size.

The network misses cortex in heads that are tilted or larger than those it has learnt. It therefore runs twice:

1. on a block in the middle of the head, along the scanner's axes, to find the deep structures. The similarity
   that brings the centres of the template's structures to theirs is the pose of the head;
2. on a grid of voxels of 1 mm of the template that this similarity brings to the head: upright, and as large as
   the template's deep structures make it.

Before both the image is clipped to its 0.1st and 99.9th percentile. The brain mask is the closing of all brain
classes on the second grid. If the deep structures are not found, the second grid lies along the scanner's axes,
in voxels of 1 mm of the head.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.components import filled, largest_component
from qsmengine.ops.morphology import closed
from qsmengine.ops.transforms import Transform, Volume, bring
from qsmengine.stages.anatomy.head_size import centres_of, head_pose
from qsmengine.stages.anatomy.network import CLASSES, ROW, classify, load_network
from qsmengine.stages.anatomy.structures import HEAD, LEFT_DOWN_FORWARD, Segmentation, sides

CLOSING = 6.0
"""Radius [voxel] by which the brain classes are closed: it takes in sulci, and no skull."""
HEIGHT = 190.0
"""Length of the head from its top that is classified if its pose is unknown [mm]."""
LEAST_BRAIN, MOST_BRAIN = 600.0, 2400.0
"""Volumes of a brain mask [mL]."""
UPPER = 140.0
"""Length of the head from its top whose centre lies near the deep structures [mm]."""
MIDDLE_BLOCK = (112, 112, 128)
"""Voxels of the block in the middle of the head."""
STANDARD = (160, 160, 224)
"""Voxels of the template that contain a brain."""
CORNER = np.array([79.5, -128.0, 84.0])
"""Centre of the first of these voxels [mm]: left, back and top."""
WIDER = 32
"""Voxels added to each axis if a brain does not fit."""
CLIP = (0.1, 99.9)
"""Percentiles of the image between which it is scaled."""
SPARSE = 3
UNIT = (1.0, 1.0, 1.0)
SAME = Transform(np.eye(4))


def segment(image: Volume, grid: Grid, device: Device) -> Segmentation:
    """Classify a T1-weighted `image` (x, y, z), any unit.

    Raises
    ------
    InputError
        For an image without a head or without the contrast of a T1-weighted image, and if what is found has not
        the volume of a brain.
    """
    pose = _pose(image, grid, device)
    target = upright_grid(image, grid) if pose is None else standard_grid(pose, grid)
    classes = _classes(image, grid, target, device)
    core = _core(classes, device)
    if pose is not None and _is_cut(core):
        target = standard_grid(pose, grid, WIDER)
        classes = _classes(image, grid, target, device)
        core = _core(classes, device)
    brain = to_numpy(filled(closed(device.asarray(core, bool), CLOSING, UNIT, device), device)) != 0
    volume = float(brain.sum()) * target.voxel_volume / 1000
    if not LEAST_BRAIN <= volume <= MOST_BRAIN:
        raise InputError(
            f"the brain found has {volume:.0f} mL, not {LEAST_BRAIN:g} to {MOST_BRAIN:g}; is the image "
            "T1-weighted, and is its orientation correct?",
            field="t1w",
        )
    return Segmentation(classes, target, bring(brain.astype(np.float32), target, grid, SAME) > 0.5)


def standard_grid(pose: FloatArray, grid: Grid, margin: int = 0) -> Grid:
    """Return the network's grid in a head whose `pose` (4, 4) leads from the template to it [mm].

    `margin` [voxel] is added to each axis, half of it on each side.
    """
    affine = np.eye(4)
    affine[:3, :3] = LEFT_DOWN_FORWARD
    affine[:3, 3] = CORNER - LEFT_DOWN_FORWARD @ np.full(3, margin / 2)
    x, y, z = (n + margin for n in STANDARD)
    return Grid((x, y, z), pose @ affine, grid.field_strength)


def upright_grid(image: Volume, grid: Grid) -> Grid:
    """Return the uppermost part of the head in voxels of 1 mm along the scanner's axes.

    Raises
    ------
    InputError
        For an image without signal.
    """
    points = _head(image, grid)
    low, high = points.min(axis=0).round(3), points.max(axis=0).round(3)
    low[2] = max(low[2], high[2] - HEIGHT)
    x, y, z = (int(n) for n in np.ceil(high - low) + 1)
    return _scanner_grid((x, z, -(-y // ROW) * ROW), np.array([high[0], low[1], high[2]]), grid)


def middle_grid(image: Volume, grid: Grid) -> Grid:
    """Return the block of voxels of 1 mm in the middle of the head, along the scanner's axes."""
    points = _head(image, grid)
    centre = points[points[:, 2] > points[:, 2].max() - UPPER].mean(axis=0)
    return _scanner_grid(MIDDLE_BLOCK, centre - LEFT_DOWN_FORWARD @ ((np.array(MIDDLE_BLOCK) - 1) / 2), grid)


def _scanner_grid(shape: tuple[int, int, int], corner: FloatArray, grid: Grid) -> Grid:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = LEFT_DOWN_FORWARD, corner
    return Grid(shape, affine, grid.field_strength)


def _head(image: Volume, grid: Grid) -> FloatArray:
    """Return the scanner coordinates (point, 3) [mm] of every `SPARSE`th voxel of the head along each axis."""
    edge = HEAD * float(np.percentile(image, 98))
    inside = image[::SPARSE, ::SPARSE, ::SPARSE] > edge
    if not edge > 0 or not inside.any():
        raise InputError("no signal: the image is 0 nearly everywhere", field="t1w")
    points = SPARSE * np.argwhere(inside) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return np.asarray(points, dtype=np.float64)


def _pose(image: Volume, grid: Grid, device: Device) -> FloatArray | None:
    """Return the similarity (4, 4) from the template to the head [mm]; None if too few structures are found."""
    target = middle_grid(image, grid)
    low, high = np.percentile(image, CLIP)
    conformed = bring(image, grid, target, SAME)
    classes = to_numpy(classify(_scaled(conformed, low, high), load_network(), device))
    core = _core(classes, device)
    _check_contrast(conformed, classes)
    found = Segmentation(np.where(core, classes, 0).astype(np.uint8), target, core)
    centres = centres_of(found, sides(found))
    return head_pose({n: c for n, c in centres.items() if n.startswith(("left_", "right_"))})


def _check_contrast(image: Volume, classes: npt.NDArray[np.uint8]) -> None:
    """Raise InputError if white matter is no brighter than the cortex, as in FLAIR and T2-weighted images."""
    white, cortex = (image[classes == CLASSES.index(name)] for name in ("white_matter", "cortex"))
    if len(white) and len(cortex) and not np.median(white) > np.median(cortex):
        raise InputError(
            "white matter is no brighter than the cortex; a T1-weighted image is needed", field="t1w"
        )


def _classes(image: Volume, grid: Grid, target: Grid, device: Device) -> npt.NDArray[np.uint8]:
    conformed = bring(image, grid, target, SAME)
    low, high = np.percentile(conformed, CLIP)
    return np.asarray(to_numpy(classify(_scaled(conformed, low, high), load_network(), device)))


def _scaled(image: Volume, low: float, high: float) -> Volume:
    return np.asarray((np.clip(image, low, high) - low) / max(high - low, 1e-30), dtype=np.float32)


def _core(classes: npt.NDArray[np.uint8], device: Device) -> npt.NDArray[np.bool_]:
    """Return the largest connected part (x, y, z) of the brain classes."""
    found = classes > 0
    if not found.any():
        raise InputError("no brain found; is the image T1-weighted?", field="t1w")
    return np.asarray(to_numpy(largest_component(device.asarray(found, bool), device)) != 0)


def _is_cut(core: npt.NDArray[np.bool_]) -> bool:
    """Return whether the brain reaches a face of the grid other than the lower one."""
    faces = (core[0], core[-1], core[:, 0], core[..., 0], core[..., -1])
    return any(bool(face.any()) for face in faces)

"""Brain mask from the magnitude: a surface that expands to fit the brain (BET).

A triangulated sphere in the middle of the head, half its size, is deformed in small steps

    u = 0.5 s_t + f2 s_n + 0.05 f3 l n,

where s points from a vertex to the mean of its neighbours, s_t and s_n are its components along the surface and
along the normal n, and l is the mean edge. f2 = (1 + tanh(F (1 / r - E))) / 2 smooths where the radius of
curvature r is small. f3 = 2 (I_min - t) / (I_max - I_low) pulls outwards in brain and inwards beyond it:
I_min is the darkest intensity within 20 mm below the surface, I_max the brightest within 10 mm, and
t = I_low + `threshold` (I_max - I_low) the intensity of the edge between brain and skull. As t follows the
brightest intensity nearby, the receive field has little influence.

Voxels above Otsu's threshold are head. I_low is the median of the others, so the background need not be 0. The
head's centre and size are those of its uppermost `height`, so that a neck does not pull the sphere down. Bone
is less dark in gradient echoes than in the T1-weighted images for which the paper's threshold of 0.5 was
chosen. Where cerebrospinal fluid is bright the surface stops at bone; a rim brighter than `bright_rim` times
its surroundings is then peeled off, and the sulci that this opens are closed again.

In heads smaller than a child's all lengths of the paper shrink with the head.

The image is averaged over blocks of voxels with edges up to `resolution`; distances are in mm. Assumes a head
brighter than its background and dark bone around the brain; skull-stripped images also work. The surface may
intersect itself in deep folds: the volume that it winds around counts as inside.

Reference: Smith 2002, 10.1002/hbm.10062.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.bet import BET_CROSS, BET_EVOLVE, BET_INSIDE
from qsmengine.data import Array
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import FloatArray, Grid, Vector3
from qsmengine.ops.components import connected_to_border, filled, largest_component
from qsmengine.ops.gaussian import gaussian_filter
from qsmengine.ops.mesh import unit_sphere
from qsmengine.ops.morphology import closed, dilated, eroded
from qsmengine.stages.mask.blocks import (
    Factors,
    block_factors,
    block_mean,
    block_size,
    onto_voxels,
    otsu,
    voxel_positions,
)
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Length, Params

_REACH = (10.0, 20.0)
"""Depths below the surface to which the brightest and the darkest intensity are searched [mm]."""
_RADII = (3.33, 10.0)
"""Radii of curvature [mm] between which smoothing sets in."""
_SMALL_HEAD = 50.0
"""Radius of the head below which these lengths shrink with it [mm]."""
_LEVELS = (3, 4)
"""Number of times that the surface's triangles are subdivided."""
_SURROUNDINGS = 10.0
"""Standard deviation of the Gaussian for the local mean [mm]."""
_OPENING = 2.0
"""Radius of the opening that cuts bridges between brain and membranes [mm]."""


class BetParams(Params):
    """Parameters of BET."""

    threshold: float = Field(
        0.7,
        gt=0,
        lt=1,
        description="intensity of the brain's edge relative to the local maximum; lower: larger mask",
    )
    gradient: float = Field(
        0.0, ge=-1, le=1, description="added to the threshold at the top of the head, subtracted at its base"
    )
    echo: int | None = Field(
        None, ge=1, description="echo whose magnitude is used, from 1; none: root sum of squares"
    )
    height: Length = Field(
        150.0, gt=0, description="length of the head, from its top, that sets centre and size [mm]"
    )
    bright_rim: float | None = Field(
        1.12, gt=1, description="peel off fluid brighter than this multiple of the local mean; none: keep it"
    )
    closing: Length = Field(6.0, ge=0, description="radius of the closing of sulci after peeling [mm]")
    resolution: Length = Field(
        2.0, gt=0, description="voxels are averaged in blocks with edges up to this length [mm]"
    )
    iterations: int = Field(300, ge=1, description="steps of the coarse and of the fine surface")


def bet(magnitude: Array, grid: Grid, params: BetParams, *, device: Device) -> Array:
    """Return the brain mask, bool (x, y, z).

    Parameters
    ----------
    magnitude
        (x, y, z, echo), any unit; voxels that are not finite count as 0.
    grid
        Geometry; its affine defines the top of the head.
    params
        Parameters.
    device
        Device of the returned mask.

    Raises
    ------
    InputError
        For a magnitude without signal or contrast, or if the surface encloses no voxel.
    UsageError
        For an echo that does not exist.
    """
    factors = block_factors(grid.voxel_size, params.resolution)
    blocks = _image(magnitude, params.echo, factors, device)
    image = to_numpy(blocks)
    size = block_size(grid.voxel_size, factors)
    up = grid.axes[2]
    head = _Head.of(image, otsu(blocks, device), size, up, params.height)
    vertices = _grown(blocks, size, head, up, params, device)
    mask = _inside(vertices / np.asarray(size), image.shape, device)
    if params.bright_rim is not None:
        mask = _without_bright_rim(mask, blocks, size, params.bright_rim, params.closing, device)
    places = voxel_positions(vertices / np.asarray(size), grid.shape, factors)
    mask = onto_voxels(mask, factors, grid.shape, device) & _inside(places, grid.shape, device)
    if not bool(mask.any()):
        raise InputError("no brain found: the surface shrank to nothing", field="magnitude")
    return mask


def _image(magnitude: Array, echo: int | None, factors: Factors, device: Device) -> Array:
    """Return the mean over blocks of the root sum of squares of the echoes, or of one echo."""
    count = magnitude.shape[3]
    if echo is not None and echo > count:
        raise UsageError(f"echo is {echo}, there are {count} echoes")
    chosen = range(count) if echo is None else [echo - 1]
    square = device.zeros(magnitude.shape[:3])
    for e in chosen:
        values = block_mean(magnitude[..., e], (1, 1, 1), device)
        square += values * values
    return block_mean(device.xp.sqrt(square), factors, device)


class _Head(NamedTuple):
    """Approximate position and intensities of the head."""

    centre: FloatArray
    """Centre [mm]; block (i, j, k) lies at (i hx, j hy, k hz)."""
    radius: float
    """Radius of a ball of the same volume [mm]."""
    levels: FloatArray
    """I_low, I_low + 0.1 (I_98 - I_low), median of the voxels in that ball."""

    @classmethod
    def of(
        cls, image: npt.NDArray[np.float32], edge: float, size: Vector3, up: FloatArray, height: float
    ) -> _Head:
        if not image.max() > 0:
            raise InputError("no signal: the magnitude is 0 everywhere", field="magnitude")
        tissue = image > np.float32(edge)
        if tissue.all() or not tissue.any():
            raise InputError("no contrast: head and background are equally bright", field="magnitude")
        low, high = float(np.median(image[~tissue])), float(np.percentile(image, 98))
        points = np.argwhere(tissue) * np.asarray(size)
        heights = points @ up
        top = np.percentile(heights, 99.9)
        points = points[heights > top - height]
        centre = points.mean(axis=0)
        radius = (len(points) * np.prod(size) * 3 / (4 * np.pi)) ** (1 / 3)
        near = points[((points - centre) ** 2).sum(axis=1) < radius**2]
        values = image[tuple(np.rint(near / np.asarray(size)).astype(int).T)]
        middle = float(np.median(values)) if values.size else high
        return cls(centre, float(radius), np.array([low, low + 0.1 * (high - low), middle]))


def _grown(
    image: Array, size: Vector3, head: _Head, up: FloatArray, params: BetParams, device: Device
) -> FloatArray:
    """Return the vertices [mm] of the brain's surface, found with a coarse mesh and refined with finer ones."""
    vertices = head.centre + 0.5 * head.radius * unit_sphere(_LEVELS[0]).vertices
    scale = min(1.0, head.radius / _SMALL_HEAD)
    sharp, flat = (1 / (scale * radius) for radius in _RADII)
    spacing = min(1.0, *size)
    low, threshold, middle = (float(level) for level in head.levels)
    for level in _LEVELS:
        mesh = unit_sphere(level)
        vertices = mesh.from_coarser(vertices) if level > _LEVELS[0] else vertices
        height = (vertices - head.centre) @ up / head.radius
        fraction = np.clip(params.threshold + params.gradient * height, 0.01, 0.99)
        places = device.asarray(vertices, np.float32)
        launch(
            BET_EVOLVE, device, image=image, ring=device.asarray(mesh.ring, np.int32), vertices=places,
            next=device.empty(vertices.shape), fraction=device.asarray(fraction, np.float32),
            px=1 / size[0], py=1 / size[1], pz=1 / size[2], low=low, threshold=threshold, middle=middle,
            spacing=spacing, near=int(scale * _REACH[0] / spacing), far=int(scale * _REACH[1] / spacing),
            slope=6 / (sharp - flat), centre=(sharp + flat) / 2,
            per_edge=1 / int((mesh.ring >= 0).sum()), iterations=params.iterations,
        )  # fmt: skip
        vertices = to_numpy(places).astype(np.float64)
    return vertices


def _inside(places: FloatArray, shape: tuple[int, ...], device: Device) -> Array:
    """Return the voxels inside the surface with vertices at `places` [voxels]."""
    crossings, mask = device.zeros(shape, np.int32), device.empty(shape, np.uint8)
    triangles = device.asarray(unit_sphere(_LEVELS[-1]).triangles, np.int32)
    launch(
        BET_CROSS, device, vertices=device.asarray(places, np.float32), triangles=triangles, crossings=crossings
    )
    launch(BET_INSIDE, device, crossings=crossings, mask=mask)
    return mask.view(bool)


def _without_bright_rim(
    mask: Array, image: Array, size: Vector3, limit: float, closing: float, device: Device
) -> Array:
    """Remove voxels brighter than their surroundings that are connected to the outside of the mask."""
    xp = device.xp
    weight = mask.astype(np.float32)
    total = gaussian_filter(image * weight, size, _SURROUNDINGS, device)
    mean = total / xp.maximum(gaussian_filter(weight, size, _SURROUNDINGS, device), np.float32(1e-3))
    core = mask & ~connected_to_border(~mask | (image > np.float32(limit) * mean), device)
    opened = largest_component(eroded(core, _OPENING, size, device), device)
    kept = dilated(opened, _OPENING + min(size), size, device) & core
    if not bool(kept.any()):
        return mask
    return filled(closed(kept, closing, size, device), device) & mask


METHODS = (
    Method(
        stage="mask", name="bet", run=bet, params=BetParams,
        inputs=("magnitude",), outputs={"mask": "1"},
        summary="surface that expands to fit the brain in the magnitude", doi="10.1002/hbm.10062",
        bytes_per_voxel=60,
    ),
)  # fmt: skip

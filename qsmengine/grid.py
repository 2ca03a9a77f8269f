"""Voxel grid, the single source of geometry: shape, affine, voxel size, B0 direction, field strength."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.records import record

SAME_VOXEL = 0.01
"""Fraction of a voxel edge by which the corners of equal grids may differ."""

FloatArray: TypeAlias = npt.NDArray[np.float64]
Vector3: TypeAlias = tuple[float, float, float]

LPS: FloatArray = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Between scanner coordinates (RAS+) and those of ITK, which point left, back and up (LPS+)."""
MIN_VOXEL_SIZE, MAX_VOXEL_SIZE = 0.01, 10.0
"""Plausible range of voxel edges [mm]; values outside indicate a wrong unit."""


@record
class Grid:
    """Three-dimensional voxel grid in scanner space.

    Parameters
    ----------
    shape
        Voxels along the array axes (x, y, z).
    affine
        4 x 4 matrix from voxel indices to scanner (RAS+) coordinates [mm].
    field_strength
        Static field B0 [T]; None if irrelevant (diffusion, labels).
    b0_override
        B0 direction in array axes, for data whose affine does not define it; normalised on entry.
    length_scale
        Size of the object relative to an adult's head. Methods measure lengths in units of `length_scale` mm,
        so that their defaults are equivalent in mice and humans; None: lengths in mm.

    Raises
    ------
    InputError
        For a shape that is not three positive numbers, a singular or non-finite affine, voxel edges outside
        0.01 to 10 mm, a field strength or length scale that is not positive, or a zero direction.
    """

    shape: tuple[int, int, int]
    affine: FloatArray = field(compare=False)
    field_strength: float | None = None
    b0_override: Vector3 | None = None
    length_scale: float | None = None

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"need three positive dimensions, got {self.shape}", field="shape")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError(f"not a finite 4 x 4 matrix: {affine.tolist()}", field="affine")
        object.__setattr__(self, "shape", shape)
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        if self.length_scale is not None and not 0.0 < self.length_scale < math.inf:
            raise InputError(f"{self.length_scale} is not a valid length scale", field="length_scale")
        sizes = self.voxel_edges
        if min(sizes) < MIN_VOXEL_SIZE or max(sizes) > MAX_VOXEL_SIZE:
            raise InputError(
                f"voxel edges {tuple(round(s, 6) for s in sizes)} mm are outside "
                f"{MIN_VOXEL_SIZE}..{MAX_VOXEL_SIZE} mm: is the header in another unit?",
                field="pixdim",
            )
        if abs(np.linalg.det(affine[:3, :3] / np.asarray(sizes))) < 1e-3:
            raise InputError("voxel axes are linearly dependent", field="affine")
        strength = self.field_strength
        if strength is not None and (isinstance(strength, str) or not 0.0 < strength < 30.0):
            raise InputError(f"{strength} T is not a valid field strength", field="MagneticFieldStrength")
        if self.b0_override is not None:
            object.__setattr__(self, "b0_override", _unit(self.b0_override, "b0_direction"))

    def __hash__(self) -> int:
        return hash(
            (self.shape, self.affine.tobytes(), self.field_strength, self.b0_override, self.length_scale or 1.0)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and hash(self) == hash(other)

    @classmethod
    def from_voxel_size(
        cls,
        shape: tuple[int, int, int],
        voxel_size: Vector3,
        *,
        field_strength: float | None = None,
        b0_direction: Vector3 | None = None,
    ) -> Grid:
        """Return an axis-aligned grid with `voxel_size` [mm], for arrays without an affine."""
        affine = np.diag([*voxel_size, 1.0])
        return cls(shape, affine, field_strength, b0_direction)

    @cached_property
    def voxel_edges(self) -> Vector3:
        """Edge lengths of a voxel in scanner space [mm]: the norms of the affine's columns."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(x), float(y), float(z)

    @property
    def voxel_size(self) -> Vector3:
        """Edge lengths of a voxel in the unit used by methods [`length_scale` mm]."""
        scale = self.length_scale or 1.0
        x, y, z = self.voxel_edges
        return x / scale, y / scale, z / scale

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in the unit used by methods [(`length_scale` mm)^3]: |det| of the affine."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / (self.length_scale or 1.0) ** 3

    @property
    def axes(self) -> FloatArray:
        """Unit vectors (columns) of the array axes in scanner space."""
        columns: FloatArray = self.affine[:3, :3] / np.asarray(self.voxel_edges)
        return columns

    @property
    def b0_direction(self) -> Vector3:
        """Unit vector of B0 (scanner z) in array axes: b = R^T e_z, R = affine with columns of length 1.

        The columns must be normalised first: for anisotropic oblique voxels, the normalised third column of the
        inverse affine is wrong by up to tens of degrees.
        """
        if self.b0_override is not None:
            return self.b0_override
        return _unit(tuple(self.axes[2]), "affine")

    @property
    def size(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def handedness(self) -> float:
        """Sign of the affine's determinant: +1 for RAS-like storage, -1 for LAS-like storage."""
        return float(np.sign(np.linalg.det(self.affine[:3, :3])))

    @property
    def required_field_strength(self) -> float:
        """Field strength [T]; raises InputError if it is missing."""
        if self.field_strength is None:
            raise InputError("the field strength is required but was not given", field="MagneticFieldStrength")
        return self.field_strength

    def replace(self, **changes: Any) -> Grid:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def part(self, box: Sequence[slice]) -> Grid:
        """Return the geometry of the voxels in a box: one slice per axis, with start and stop, any step."""
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.array([side.start for side in box], dtype=np.float64)
        affine[:3, :3] *= [side.step or 1 for side in box]
        shape = tuple(len(range(side.start, side.stop, side.step or 1)) for side in box)
        return self.replace(shape=shape, affine=affine)

    @property
    def tolerance(self) -> float:
        """Distance [mm] within which corners are considered equal: a hundredth of the smallest voxel edge.

        Headers store rotations as quaternions of 32-bit numbers. Near 180 degrees their rounding moves the far
        corner of an image by a few hundredths of a millimetre.
        """
        return max(1e-3, SAME_VOXEL * min(self.voxel_edges))

    def distance(self, other: Grid) -> float:
        """Return the largest distance [mm] between a corner voxel and the other grid's of the same index."""
        corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64)
        corners[:, :3] *= np.asarray(self.shape) - 1
        return float(np.linalg.norm(corners @ (self.affine - other.affine).T, axis=1).max())

    def matches(self, other: Grid, tolerance: float | None = None) -> bool:
        """Return whether shapes are equal and all corners agree within `tolerance` [mm].

        None: :attr:`tolerance`.
        """
        if self.shape != other.shape:
            return False
        if np.array_equal(self.affine, other.affine):
            return True
        return self.distance(other) <= (self.tolerance if tolerance is None else tolerance)


def check_same_grid(found: Grid, wanted: Grid, source: object, of_what: object) -> None:
    """Check that the grid `found` of the image `source` equals the grid `wanted` of `of_what`.

    Raises
    ------
    InputError
        If they differ; the message gives both shapes, or both affines and the largest distance between voxels.
    """
    if found.shape != wanted.shape:
        raise InputError(
            f"has shape {found.shape}, not {wanted.shape} as {of_what}; resample it onto that grid",
            source=source,
            field="dim",
        )
    if not found.matches(wanted):
        ours, theirs = (np.round(grid.affine[:3], 4).tolist() for grid in (found, wanted))
        raise InputError(
            f"has the affine {ours}, not {theirs} as {of_what}: voxels are up to {found.distance(wanted):.3g} "
            f"mm apart ({found.tolerance:.2g} mm allowed); resample it onto that grid",
            source=source,
            field="affine",
        )


def _unit(vector: tuple[float, ...], name: str) -> Vector3:
    v = np.asarray(vector, dtype=np.float64)
    norm = float(np.linalg.norm(v))
    if v.shape != (3,) or not np.isfinite(norm) or norm < 1e-6:
        raise InputError(f"not a valid direction: {vector}", field=name)
    x, y, z = (v / norm).tolist()
    return x, y, z

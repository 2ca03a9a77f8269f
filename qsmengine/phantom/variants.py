"""Variants of a label map: another anatomy by smooth deformation, bone and air close to the brain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qsmengine.errors import UsageError
from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.resample import interpolate
from qsmengine.phantom.tissue import smooth_noise

COARSE = 4
"""Spacing of the grid on which the deformation is integrated [voxels of the label map]."""
WAVELENGTH = 12.0
"""Spacing of the lattice on which the velocity is drawn [voxels of the label map]."""
SQUARINGS = 5
LARGEST = 8.0
"""Of the deformation's standard deviation [voxels of the label map]."""
THIN_BONE = 3.0
"""Bone this close to a cavity becomes air [voxels of the label map]."""

Displacement = npt.NDArray[np.float32]


def deformed_head(head: HeadIndex, size: float, rng: np.random.Generator) -> HeadIndex:
    """Return `head` deformed by a smooth, invertible map drawn with `rng`.

    A stationary velocity, smooth over about 40 voxels, is integrated by scaling and squaring (Arsigny et al.
    2006, 10.1007/11866565_113). Labels are taken from the nearest voxel; the outermost ones continue outwards.

    Parameters
    ----------
    head
        Label map.
    size
        Standard deviation of each component of the velocity, which is about that of the displacement
        [voxels]; 0 returns `head`.
    rng
        Source of the velocity.

    Raises
    ------
    UsageError
        For a size outside 0 .. 8 voxels.
    """
    if not 0 <= size <= LARGEST:
        raise UsageError(f"deformation: {size} lies outside 0 .. {LARGEST:g} voxels")
    if size == 0:
        return head
    shape = head.index.shape
    places = []
    for axis, (component, n) in enumerate(zip(deformation(shape, size, rng), shape, strict=True)):
        here = np.arange(n).reshape([-1 if a == axis else 1 for a in range(3)])
        places.append(np.clip(np.rint(here + component), 0, n - 1).astype(np.intp))
    return replace(head, index=head.index[tuple(places)])


def deformation(shape: tuple[int, ...], size: float, rng: np.random.Generator) -> Displacement:
    """Return the displacement (3, x, y, z) [voxels] of :func:`deformed_head`."""
    lattice = tuple(-(-n // COARSE) for n in shape)
    velocity = np.stack([smooth_noise(lattice, rng, WAVELENGTH / COARSE) for _ in range(3)])
    step = _integrate(velocity * np.float32(size / COARSE)) * np.float32(COARSE)
    return np.stack([interpolate(component, shape, (COARSE,) * 3, degree=1) for component in step])


def _integrate(velocity: Displacement) -> Displacement:
    """Return the displacement (3, x, y, z) that a velocity causes in unit time, both in grid steps."""
    from scipy.ndimage import map_coordinates

    step: Displacement = velocity / np.float32(2**SQUARINGS)
    here = np.indices(velocity.shape[1:], dtype=np.float32)
    for _ in range(SQUARINGS):
        step = step + np.stack([map_coordinates(c, here + step, order=1, mode="nearest") for c in step])
    return step


def with_close_skull(head: HeadIndex, gap: float = 1.0) -> HeadIndex:
    """Return `head` with bone and air that begin `gap` voxels outside the brain.

    Fluid around the brain that is farther away becomes bone or air, whichever is nearer; bone within
    THIN_BONE voxels of a cavity becomes air where it is farther than `gap` from the brain.
    """
    from scipy.ndimage import binary_fill_holes, distance_transform_edt

    def regions(**wanted: object) -> npt.NDArray[np.bool_]:
        chosen = [all(getattr(r, name) == value for name, value in wanted.items()) for r in head.regions]
        return head.lookup(chosen, bool)

    away = distance_transform_edt(~regions(brain=True)) > gap
    index = head.index.copy()
    air, bone = regions(tissue="air"), regions(tissue="cortical_bone")
    fluid = regions(tissue="csf", brain=False) & away
    nearest = distance_transform_edt(~(air | bone), return_distances=False, return_indices=True)
    index[fluid] = head.index[tuple(axis[fluid] for axis in nearest)]
    cavities = air & binary_fill_holes(~air)
    number = next(n for n, r in enumerate(head.regions) if r.tissue == "air")
    index[bone & away & (distance_transform_edt(~cavities) <= THIN_BONE)] = number
    return replace(head, index=index)

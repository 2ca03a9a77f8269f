"""Point and box that the pictures of a figure or page share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.grid import Vector3
from qsmengine.report.panels import Picture

Floats: TypeAlias = npt.NDArray[np.float64]
MARGIN = 5.0
"""Width shown around masks and objects [mm]."""


@dataclass(frozen=True)
class Frame:
    """Point [mm] through which slices pass, and box (3, 2) [mm] from it around every picture."""

    point: Floats
    box: Floats

    def voxel(self, picture: Picture) -> npt.NDArray[np.intp]:
        """Return the voxel of a picture at the point.

        Raises
        ------
        InputError
            When the point lies outside the picture.
        """
        affine = picture.affine
        voxel = np.rint(np.linalg.solve(affine[:3, :3], self.point - affine[:3, 3])).astype(np.intp)
        if (voxel < 0).any() or (voxel >= picture.values.shape[:3]).any():
            where = self.point.round(1).tolist()
            raise InputError(f"the point {where} mm lies outside the image", source=picture.source)
        return np.asarray(voxel)


def frame_of(pictures: Sequence[Picture], centre: Vector3 | None = None) -> Frame:
    """Return the frame of pictures.

    Parameters
    ----------
    pictures
        Pictures of one subject.
    centre
        Point [mm], scanner coordinates (RAS+). None: the centre of the first mask, or of the first image if
        there is no mask.

    Raises
    ------
    InputError
        When there is no picture, or the point lies outside one.
    """
    if not pictures:
        raise InputError("nothing to show in the overview")
    point = np.asarray(_default_centre(pictures) if centre is None else centre, dtype=np.float64)
    around = Frame(point, np.zeros((3, 2)))
    voxels = [around.voxel(picture) for picture in pictures]
    return Frame(point, _shared_box(pictures, voxels))


def _default_centre(pictures: Sequence[Picture]) -> Floats:
    """Return the centre of the first mask, or of the first image, in world coordinates [mm]."""
    masked = [picture for picture in pictures if picture.mask is not None and picture.mask.any()]
    picture = masked[0] if masked else pictures[0]
    if picture.mask is not None and masked:
        voxel = np.argwhere(picture.mask).mean(axis=0)
    else:
        voxel = (np.array(picture.values.shape[:3]) - 1) / 2
    return np.asarray(picture.affine[:3, :3] @ voxel + picture.affine[:3, 3])


def _shared_box(pictures: Sequence[Picture], voxels: Sequence[npt.NDArray[np.intp]]) -> Floats:
    """Return limits (3, 2) [mm] from the point around every mask or, without masks, around nonzero voxels."""
    masked = [picture.mask is not None and bool(picture.mask.any()) for picture in pictures]
    limits = []
    for picture, voxel, has_mask in zip(pictures, voxels, masked, strict=True):
        if any(masked) and not has_mask:
            continue
        values = picture.values if picture.values.ndim == 3 else picture.values.max(axis=3)
        shown = picture.mask if has_mask and picture.mask is not None else np.isfinite(values) & (values != 0)
        low, high = _bounds(shown)
        margin = MARGIN / picture.voxel_size
        low, high = np.maximum(low - margin, 0.0), np.minimum(high + margin, np.array(shown.shape) - 1.0)
        limits.append(
            np.stack([(low - 0.5 - voxel), (high + 0.5 - voxel)], axis=1) * picture.voxel_size[:, None]
        )
    return np.stack([np.min(limits, axis=0)[:, 0], np.max(limits, axis=0)[:, 1]], axis=1)


def _bounds(shown: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return first and last index of the true voxels along each axis; of the whole array if there are none."""
    low, high = np.zeros(3), np.array(shown.shape) - 1.0
    for axis in range(3):
        there = np.flatnonzero(shown.any(axis=tuple(a for a in range(3) if a != axis)))
        if there.size:
            low[axis], high[axis] = there[0], there[-1]
    return low, high

"""Deep grey matter of a T1-weighted image, from the classes of a network.

Left and right are divided by the plane x = a + b y + c z [mm] half way between the centres of each structure's
two sides. On the grid of the image the surfaces are refined (:mod:`~qsmengine.stages.anatomy.refinement`).
Implausible volumes (`STRUCTURES`) and asymmetries (`ASYMMETRY`) mark a structure as not reliable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.transforms import Part, Transform, Volume, boxed_fractions, bring
from qsmengine.stages.anatomy.network import CLASSES
from qsmengine.stages.anatomy.refinement import Tissues, refine, surroundings

MARGIN = 6.0
"""Distance around the structures in which the intensities of their surroundings are measured [mm]."""
HEAD = 0.1
"""Intensity of the head's edge, relative to the 98th percentile."""
ASYMMETRY = 0.15
"""Largest difference between left and right, relative to their mean."""
LEFT_DOWN_FORWARD = np.array([[-1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
"""Axes of the network's images in scanner coordinates, one per column."""


class Structure(NamedTuple):
    """A structure with two sides: its class, its labels, and plausible volumes of both sides together [mL]."""

    name: str
    left: int
    right: int
    least: float
    most: float

    @property
    def number(self) -> int:
        """Class of the network."""
        return CLASSES.index(self.name)


STRUCTURES = (
    Structure("thalamus", 10, 49, 9.0, 24.0),
    Structure("caudate", 11, 50, 4.0, 12.0),
    Structure("putamen", 12, 51, 6.0, 16.0),
    Structure("pallidum", 13, 52, 2.0, 6.0),
    Structure("hippocampus", 17, 53, 3.0, 13.0),
    Structure("amygdala", 18, 54, 1.2, 6.0),
    Structure("accumbens", 26, 58, 0.4, 2.5),
)
"""Deep grey matter with the labels of FreeSurfer; ranges of adults, wide enough for small heads."""
NUMBERS = tuple(number for s in STRUCTURES for number in (s.left, s.right))


@dataclass(frozen=True)
class Segmentation:
    """Classes of a network on their own grid.

    Parameters
    ----------
    classes
        (x, y, z) uint8, see :data:`qsmengine.stages.anatomy.network.CLASSES`.
    grid
        Geometry of `classes`.
    brain
        (x, y, z) bool on the image's grid.
    """

    classes: npt.NDArray[np.uint8]
    grid: Grid
    brain: npt.NDArray[np.bool_]

    def fraction(self, numbers: tuple[int, ...], target: Grid) -> Volume:
        """Return the fraction (x, y, z) of classes in the voxels of `target`, interpolated linearly."""
        part = np.isin(self.classes, numbers).astype(np.float32)
        return bring(part, self.grid, target, Transform(np.eye(4)))


class StructureVolume(NamedTuple):
    """Volume of one side of a structure [mm^3], and the reasons why it is not reliable.

    `contrast` is the share of the surface that the image's intensities have placed [1].
    """

    name: str
    hemisphere: str
    label: int
    volume: float
    problems: tuple[str, ...]
    contrast: float = 0.0


def sides(found: Segmentation) -> npt.NDArray[np.uint8]:
    """Return the labels (x, y, z) of the structures on the network's grid, left and right apart."""
    places = {s.number: _points(found, s.number) for s in STRUCTURES}
    together = np.concatenate([p for p in places.values() if len(p)] or [np.zeros((1, 3))])
    plane = np.array([np.median(together[:, 0]), 0.0, 0.0])
    for _ in range(20):
        middles = [m for p in places.values() if (m := _middle(p, plane)) is not None]
        if len(middles) < 4:
            break
        at = np.array(middles)
        columns = np.column_stack([np.ones(len(at)), at[:, 1:]])
        plane = np.linalg.lstsq(columns, at[:, 0], rcond=None)[0]
    labels = np.zeros(found.classes.shape, np.uint8)
    for s in STRUCTURES:
        index = np.nonzero(found.classes == s.number)
        labels[index] = np.where(_left(places[s.number], plane), s.left, s.right)
    return labels


def _points(found: Segmentation, number: int) -> FloatArray:
    """Return the scanner coordinates (voxel, 3) [mm] of a class."""
    index = np.argwhere(found.classes == number)
    return np.asarray(index @ found.grid.affine[:3, :3].T + found.grid.affine[:3, 3], dtype=np.float64)


def _left(points: FloatArray, plane: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray(points[:, 0] < plane[0] + points[:, 1:] @ plane[1:])


def _middle(points: FloatArray, plane: FloatArray) -> FloatArray | None:
    """Return the point (3,) half way between the centres of both sides; None if there is only one."""
    left = _left(points, plane)
    if not left.any() or left.all():
        return None
    return np.asarray((points[left].mean(axis=0) + points[~left].mean(axis=0)) / 2, dtype=np.float64)


class Placed(NamedTuple):
    """Structures on the image's grid: label (x, y, z) int16 of most of each voxel, and volumes."""

    labels: npt.NDArray[np.int16]
    volumes: tuple[StructureVolume, ...]


def place(labels: npt.NDArray[np.uint8], found: Segmentation, target: Grid, tissues: Tissues) -> Placed:
    """Bring labels from the network's grid to `target`, that of the image, and refine their surfaces there.

    Voxels that are mostly fluid are left out. `tissues` (x, y, z) are those of the image.
    """
    out = np.zeros(target.shape, np.int16)
    part = boxed_fractions(labels, found.grid, target, Transform(np.eye(4)), NUMBERS)
    if not part.fractions.any():
        return Placed(out, _volumes(np.zeros(len(NUMBERS)), np.zeros(len(NUMBERS))))
    fractions, box = _widened(part, target)
    grid = target.part(box)
    around = surroundings(_nearest(found, grid))
    refined = refine(fractions, around, Tissues(*(image[box] for image in tissues)), grid)
    out[box] = np.where(refined.labels >= 0, np.asarray(NUMBERS)[refined.labels], 0)
    sizes = refined.fractions.sum(axis=(0, 1, 2), dtype=np.float64) * target.voxel_volume
    return Placed(out, _volumes(sizes, refined.contrast))


def _widened(part: Part, target: Grid) -> Part:
    """Return the fractions in the smallest box that contains them and `MARGIN` around them."""
    index = np.argwhere(part.fractions.any(axis=3)) + [side.start for side in part.box]
    margin = np.ceil(MARGIN / np.asarray(target.voxel_edges)).astype(int)
    low = np.maximum(index.min(axis=0) - margin, 0)
    high = np.minimum(index.max(axis=0) + margin + 1, target.shape)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    out = np.zeros((*(high - low), part.fractions.shape[3]), np.float32)
    inner = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(part.box, (x, y, z), strict=True)]
    into, taken = (
        tuple(
            slice(start - side.start, stop - side.start) for (start, stop), side in zip(inner, box, strict=True)
        )
        for box in ((x, y, z), part.box)
    )
    out[into] = part.fractions[taken]
    return Part(out, (x, y, z))


def _nearest(found: Segmentation, grid: Grid) -> npt.NDArray[np.uint8]:
    """Return the network's class at the centre of each voxel of `grid`."""
    from scipy.ndimage import affine_transform

    step = np.linalg.solve(found.grid.affine, grid.affine)
    out = affine_transform(found.classes, step[:3, :3], step[:3, 3], grid.shape, output=np.uint8, order=0)
    return np.asarray(out)


def _volumes(sizes: FloatArray, contrast: FloatArray) -> tuple[StructureVolume, ...]:
    """Return the structures from volumes (label,) [mm^3] and shares (label,) [1] in the order of `NUMBERS`."""
    found = []
    for k, s in enumerate(STRUCTURES):
        left, right = float(sizes[2 * k]), float(sizes[2 * k + 1])
        problems = _problems(s, left / 1000, right / 1000)
        both = (("left", s.left, left), ("right", s.right, right))
        for n, (side, label, volume) in enumerate(both):
            share = float(contrast[2 * k + n])
            found.append(StructureVolume(s.name, side, label, volume, problems, share))
    return tuple(found)


def _problems(structure: Structure, left: float, right: float) -> tuple[str, ...]:
    """Return the reasons why volumes [mL] are not reliable."""
    total, problems = left + right, []
    if not structure.least <= total <= structure.most:
        problems.append(f"{total:.1f} mL, not {structure.least:g} to {structure.most:g}")
    if total > 0 and 2 * abs(left - right) / total > ASYMMETRY:
        problems.append(f"left {left:.2f} and right {right:.2f} mL differ by more than {100 * ASYMMETRY:.0f} %")
    return tuple(problems)

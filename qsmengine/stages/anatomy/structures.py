"""Deep grey matter of a T1-weighted image, from the classes of a network.

Left and right are divided by the plane x = a + b y + c z [mm] half way between the centres of each structure's
two sides. Implausible volumes (`STRUCTURES`) and asymmetries (`ASYMMETRY`) mark a structure as not reliable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.transforms import Transform, Volume, boxed_fractions, bring
from qsmengine.stages.anatomy.network import CLASSES

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
    """Volume of one side of a structure [mm^3], and the reasons why it is not reliable."""

    name: str
    hemisphere: str
    label: int
    volume: float
    problems: tuple[str, ...]


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


def place(labels: npt.NDArray[np.uint8], source: Grid, target: Grid, fluid: Volume) -> Placed:
    """Bring labels to the image's grid `target`; voxels that are mostly `fluid` (x, y, z) [1] are left out."""
    out = np.zeros(target.shape, np.int16)
    fractions, box = boxed_fractions(labels, source, target, Transform(np.eye(4)), NUMBERS)
    if not fractions.size:
        return Placed(out, _volumes(np.zeros(len(NUMBERS))))
    fractions[fluid[box] > 0.5] = 0
    most = fractions.argmax(axis=3)
    out[box] = np.where(fractions.sum(axis=3) >= 0.5, np.asarray(NUMBERS)[most], 0)
    sizes = fractions.sum(axis=(0, 1, 2), dtype=np.float64) * target.voxel_volume
    return Placed(out, _volumes(sizes))


def _volumes(sizes: FloatArray) -> tuple[StructureVolume, ...]:
    """Return the structures with their volumes (label,) [mm^3], in the order of `NUMBERS`."""
    found = []
    for k, s in enumerate(STRUCTURES):
        left, right = float(sizes[2 * k]), float(sizes[2 * k + 1])
        problems = _problems(s, left / 1000, right / 1000)
        found.append(StructureVolume(s.name, "left", s.left, left, problems))
        found.append(StructureVolume(s.name, "right", s.right, right, problems))
    return tuple(found)


def _problems(structure: Structure, left: float, right: float) -> tuple[str, ...]:
    """Return the reasons why volumes [mL] are not reliable."""
    total, problems = left + right, []
    if not structure.least <= total <= structure.most:
        problems.append(f"{total:.1f} mL, not {structure.least:g} to {structure.most:g}")
    if total > 0 and 2 * abs(left - right) / total > ASYMMETRY:
        problems.append(f"left {left:.2f} and right {right:.2f} mL differ by more than {100 * ASYMMETRY:.0f} %")
    return tuple(problems)

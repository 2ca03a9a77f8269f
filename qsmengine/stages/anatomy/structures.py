"""Deep grey matter of a T1-weighted image, from the classes of a network.

Left and right are divided by the plane x = a + b y + c z [mm] half way between the centres of each structure's
two sides. On the grid of the image the surfaces are refined (:mod:`~qsmengine.stages.anatomy.refinement`).
Volumes are judged at the size of a template's head (`STRUCTURES`), and by their asymmetry (`UNEVEN`, `BROKEN`).
What atrophy explains is remarked; what only a failed segmentation explains marks a structure as not reliable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.transforms import Part, Transform, Volume, boxed_fractions, bring
from qsmengine.stages.anatomy.network import CLASSES
from qsmengine.stages.anatomy.refinement import Tissues, refine, surroundings

MARGIN = 6.0
"""Distance around the structures in which the intensities of their surroundings are measured [mm]."""
HEAD = 0.1
"""Intensity of the head's edge, relative to the 98th percentile."""
UNEVEN, BROKEN = 0.15, 0.5
"""Differences between left and right, relative to their mean: above them a remark, and not reliable."""
TYPICAL = 1.3
"""Factor from volumes to those at the size of the template, for heads of unknown size."""
LEFT_DOWN_FORWARD = np.array([[-1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
"""Axes of the network's images in scanner coordinates, one per column."""


class Structure(NamedTuple):
    """A structure with two sides: its class, its labels, and volumes of both sides together [mL].

    The volumes are those at the size of the template: outside `low` .. `high` they are unusual, outside
    `least` .. `most` not reliable.
    """

    name: str
    left: int
    right: int
    least: float
    low: float
    high: float
    most: float

    @property
    def number(self) -> int:
        """Class of the network."""
        return CLASSES.index(self.name)


STRUCTURES = (
    Structure("thalamus", 10, 49, 8.0, 14.0, 27.0, 32.0),
    Structure("caudate", 11, 50, 3.5, 6.5, 13.0, 16.0),
    Structure("putamen", 12, 51, 5.5, 9.5, 18.0, 22.0),
    Structure("pallidum", 13, 52, 1.8, 3.2, 6.5, 8.0),
    Structure("hippocampus", 17, 53, 3.0, 6.0, 13.5, 16.5),
    Structure("amygdala", 18, 54, 1.3, 2.5, 7.0, 8.5),
    Structure("accumbens", 26, 58, 0.5, 1.0, 2.8, 3.8),
)
"""Deep grey matter with the labels of FreeSurfer; ranges of adults, the outer ones wide enough for atrophy."""
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

    `contrast` is the share of the surface that the image's intensities have placed [1]; `remarks` say what is
    unusual about a structure that is used all the same.
    """

    name: str
    hemisphere: str
    label: int
    volume: float
    problems: tuple[str, ...]
    contrast: float = 0.0
    remarks: tuple[str, ...] = ()


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


def place(
    labels: npt.NDArray[np.uint8], found: Segmentation, target: Grid, tissues: Tissues, scaling: float | None
) -> Placed:
    """Bring labels from the network's grid to `target`, that of the image, and refine their surfaces there.

    Voxels that are mostly fluid are left out. `tissues` (x, y, z) are those of the image; `scaling` is the
    factor from its volumes to those at the size of the template, None: unknown.
    """
    out = np.zeros(target.shape, np.int16)
    part = boxed_fractions(labels, found.grid, target, Transform(np.eye(4)), NUMBERS)
    if not part.fractions.any():
        return Placed(out, _volumes(np.zeros(len(NUMBERS)), np.zeros(len(NUMBERS)), scaling))
    fractions, box = _widened(part, target)
    grid = target.part(box)
    around = surroundings(_nearest(found, grid))
    refined = refine(fractions, around, Tissues(*(image[box] for image in tissues)), grid)
    out[box] = np.where(refined.labels >= 0, np.asarray(NUMBERS)[refined.labels], 0)
    sizes = refined.fractions.sum(axis=(0, 1, 2), dtype=np.float64) * target.voxel_volume
    return Placed(out, _volumes(sizes, refined.contrast, scaling))


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


def _volumes(sizes: FloatArray, contrast: FloatArray, scaling: float | None) -> tuple[StructureVolume, ...]:
    """Return the structures from volumes (label,) [mm^3] and shares (label,) [1] in the order of `NUMBERS`."""
    found = []
    for k, s in enumerate(STRUCTURES):
        left, right = float(sizes[2 * k]), float(sizes[2 * k + 1])
        problems, remarks = _judged(s, left / 1000, right / 1000, scaling)
        both = (("left", s.left, left), ("right", s.right, right))
        for n, (side, label, volume) in enumerate(both):
            share = float(contrast[2 * k + n])
            found.append(StructureVolume(s.name, side, label, volume, problems, share, remarks))
    return tuple(found)


def check_found(structures: Sequence[StructureVolume]) -> None:
    """Raise InputError if no structure is reliable: what the network has found is no brain."""
    if any(not s.problems for s in structures):
        return
    total = sum(s.volume for s in structures) / 1000
    first = next((s for s in structures if s.volume > 0), None)
    example = "" if first is None else f", such as {first.name}: {first.problems[0]}"
    raise InputError(
        f"no structure of the deep grey matter is found: {total:.1f} mL in all, none with a plausible volume"
        f"{example}; is the image a T1-weighted one of a whole head, and is its orientation correct?",
        field="t1w",
    )


def _judged(
    structure: Structure, left: float, right: float, scaling: float | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the reasons why volumes [mL] are not reliable, and what is unusual about them."""
    total = left + right
    problems, remarks = list[str](), list[str]()
    scaled = total * (TYPICAL if scaling is None else scaling)
    known = "" if scaling is None else f", {scaled:.1f} mL at the size of the template"
    unit = TYPICAL if scaling is None else 1.0
    for low, high, texts in (
        (structure.least, structure.most, problems),
        (structure.low, structure.high, remarks),
    ):
        if not low <= scaled <= high:
            texts.append(f"{total:.1f} mL{known}, not {low / unit:.3g} to {high / unit:.3g}")
            break
    apart = 2 * abs(left - right) / total if total > 0 else 0.0
    if apart > UNEVEN:
        texts = problems if apart > BROKEN else remarks
        texts.append(f"left {left:.2f} and right {right:.2f} mL differ by {100 * apart:.0f} %")
    return tuple(problems), tuple(remarks)

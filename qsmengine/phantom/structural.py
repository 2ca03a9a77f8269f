"""T1-weighted and FLAIR images of a virtual head, in a pose and at a resolution apart from the gradient echoes.

Signals of inversion recovery per voxel of the label map, with the proton density m0 and the relaxation rates of
its tissue::

    T1w    m0 [1 - 2 exp(-TI R1) / (1 + exp(-TR R1))] exp(-TE R2*)
    FLAIR  m0 [1 - 2 exp(-TI R1) + exp(-TR R1)] exp(-TE R2)

They are averaged over the image's voxels before the magnitude is taken, multiplied by a smooth receive profile,
and get Rician noise. Mugler and Brookeman 1990, 10.1002/mrm.1910150117; Hajnal et al. 1992,
10.1097/00004728-199211000-00001.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qsmengine.errors import UsageError
from qsmengine.grid import FloatArray, Grid, Vector3
from qsmengine.phantom.anatomy import Anatomy
from qsmengine.phantom.gre import SIGNAL_SCALE
from qsmengine.phantom.labels import LabelArray
from qsmengine.phantom.perfusion import perfusion_table
from qsmengine.phantom.resample import FloatImage

GREY = frozenset(
    {"cortex", "cerebellar_cortex", "thalamus", "caudate", "putamen", "pallidum", "accumbens",
     "ventral_diencephalon", "hippocampus", "amygdala"}
)  # fmt: skip
"""Tissues of the brain that count as grey matter."""
WHITE = frozenset(
    {"white_matter", "white_matter_lesion", "cerebellar_white_matter", "brain_stem", "optic_nerve"}
)
"""Tissues of the brain that count as white matter."""
LESION = "white_matter_lesion"
SPACING = 1.5
"""Largest distance between the points over which an image is averaged [mm]; at least two per voxel and axis."""


@dataclass(frozen=True)
class Contrast:
    """Sequence of a structural image: repetition, inversion and echo time [s]; `flair` selects the signal."""

    repetition_time: float
    inversion_time: float
    echo_time: float
    flair: bool = False


CONTRASTS = {
    "T1w": Contrast(2.3, 1.1, 0.003),
    "FLAIR": Contrast(9.0, 2.5, 0.1, flair=True),
}
"""BIDS suffix -> sequence; the inversion time of FLAIR nulls cerebrospinal fluid."""


@dataclass(frozen=True)
class StructuralSettings:
    """Pose, resolution and receive profile of structural images.

    Parameters
    ----------
    suffixes
        Images to draw, any of "T1w" and "FLAIR".
    voxel_size
        [mm]; None: isotropic, the smallest edge of the gradient echoes' voxels.
    rotation, shift
        Movement of the head after the gradient echoes: rotations [degrees] about the axes x, y and z of the
        scanner through the centre of the head, in this order, and shift [mm].
    unevenness
        Of the receive profile, 0 to 4, see :class:`~qsmengine.phantom.gre.SmoothCoil`; 0: even.

    Raises
    ------
    UsageError
        For an unknown image, or a profile out of range.
    """

    suffixes: tuple[str, ...] = ("T1w", "FLAIR")
    voxel_size: Vector3 | None = None
    rotation: Vector3 = (4.0, -3.0, 5.0)
    shift: Vector3 = (3.0, -5.0, 4.0)
    unevenness: float = 2.0

    def __post_init__(self) -> None:
        unknown = [suffix for suffix in self.suffixes if suffix not in CONTRASTS]
        if unknown or not self.suffixes:
            raise UsageError(f"suffixes: {self.suffixes} given; any of {', '.join(CONTRASTS)} are needed")
        if not 0 <= self.unevenness <= 4:
            raise UsageError(f"unevenness: {self.unevenness} lies outside 0 .. 4")


@dataclass(frozen=True)
class Placement:
    """Place of the label map in an image.

    Parameters
    ----------
    grid
        Geometry of the image.
    motion
        (4, 4) rigid transform [mm] from a point of the gradient echoes to the same tissue in the image, both in
        scanner coordinates.
    to_labels
        (4, 4) from voxel indices of the image to those of the label map.
    """

    grid: Grid
    motion: FloatArray
    to_labels: FloatArray

    def average(self, fine: FloatImage, outside: float = 0.0) -> FloatImage:
        """Return the mean of `fine`, on the label map, over the image's voxels (x, y, z).

        The label map is interpolated linearly at points at most `SPACING` apart; around it is `outside`.
        """
        from scipy.ndimage import affine_transform

        linear, origin = self.to_labels[:3, :3], self.to_labels[:3, 3]
        total = np.zeros(self.grid.shape, np.float32)
        parts = [max(2, int(np.ceil(edge / SPACING))) for edge in self.grid.voxel_edges]
        for step in itertools.product(*((np.arange(n) + 0.5) / n - 0.5 for n in parts)):
            total += affine_transform(
                fine, linear, origin + linear @ np.array(step), self.grid.shape,
                output=np.float32, order=1, cval=outside,
            )  # fmt: skip
        return total / np.float32(np.prod(parts))

    def labels(self, labels: LabelArray) -> LabelArray:
        """Return the label (x, y, z) at the centre of each of the image's voxels; 0 outside the map."""
        from scipy.ndimage import affine_transform

        found = affine_transform(
            labels, self.to_labels[:3, :3], self.to_labels[:3, 3], self.grid.shape, output=labels.dtype, order=0
        )
        return np.asarray(found)


def place(anatomy: Anatomy, gre: Grid, settings: StructuralSettings) -> Placement:
    """Place the head of `anatomy`, imaged on the grid `gre`, into a structural image that contains it."""
    edge = min(gre.voxel_edges)
    sizes = np.asarray(settings.voxel_size or (edge, edge, edge))
    fine = anatomy.head.grid
    to_gre = gre.affine @ np.linalg.inv(anatomy.grid.affine) @ fine.affine
    centre = (to_gre @ [*(np.asarray(fine.shape) - 1) / 2, 1.0])[:3]
    motion = np.eye(4)
    motion[:3, :3] = rotation_matrix(settings.rotation)
    motion[:3, 3] = centre - motion[:3, :3] @ centre + settings.shift
    from_labels = motion @ to_gre
    ends = [(-0.5, n - 0.5) for n in fine.shape]
    corners = np.array([from_labels @ [*corner, 1.0] for corner in itertools.product(*ends)])[:, :3]
    low, high = corners.min(axis=0), corners.max(axis=0)
    x, y, z = (int(n) for n in np.ceil((high - low) / sizes - 1e-6))
    affine = np.diag([*sizes, 1.0])
    affine[:3, 3] = low + sizes / 2
    to_labels = np.asarray(np.linalg.solve(from_labels, affine), dtype=np.float64)
    return Placement(Grid((x, y, z), affine, gre.field_strength), motion, to_labels)


def rotation_matrix(degrees: Vector3) -> FloatArray:
    """Return the rotation (3, 3) about x, then y, then z by angles [degrees]."""
    total = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[b, a], turn[a, b] = np.sin(angle), -np.sin(angle)
        total = turn @ total
    return total


def structural_signal(anatomy: Anatomy, contrast: Contrast) -> FloatImage:
    """Return the signal (x, y, z) on the label map, with its sign and before coil and noise.

    Relaxation of drawn features is mixed by their fractions of the voxel.
    """
    head, tissue = anatomy.head, anatomy.fine
    table = perfusion_table()
    r1 = head.lookup([table[region.tissue].r1 for region in head.regions])
    for label, share in anatomy.shares.items():
        region = next(one for one in head.regions if one.label == label)
        r1 += share * (np.float32(table[region.tissue].r1) - r1)
    ti, tr = np.float32(contrast.inversion_time), np.float32(contrast.repetition_time)
    recovery = np.exp(-tr * r1)
    if contrast.flair:
        longitudinal = 1 - 2 * np.exp(-ti * r1) + recovery
        decay = np.exp(np.float32(-contrast.echo_time) * tissue.r2)
    else:
        longitudinal = 1 - 2 * np.exp(-ti * r1) / (1 + recovery)
        decay = np.exp(np.float32(-contrast.echo_time) * tissue.r2star)
    return np.asarray(np.float32(SIGNAL_SCALE) * tissue.m0 * longitudinal * decay, dtype=np.float32)


def tissue_fractions(anatomy: Anatomy) -> Mapping[str, FloatImage]:
    """Return the fractions "GM", "WM" and "CSF" of the brain and "lesion" (x, y, z) on the label map.

    The three classes add up to 1 in the brain mask. Lesions are white matter; vessels and choroid plexus count
    as cerebrospinal fluid.
    """
    head = anatomy.head
    brain = head.lookup([region.brain for region in head.regions])
    grey = head.lookup([region.brain and region.tissue in GREY for region in head.regions])
    white = head.lookup([region.brain and region.tissue in WHITE for region in head.regions])
    mapped = [region.tissue == LESION and region.label not in anatomy.shares for region in head.regions]
    lesion = head.lookup(mapped)
    for label, share in anatomy.shares.items():
        if next(region for region in head.regions if region.label == label).tissue == LESION:
            lesion = np.maximum(lesion, share)
    return {"GM": grey, "WM": white, "CSF": brain - grey - white, "lesion": lesion}


def with_noise(
    image: FloatImage, reference: npt.NDArray[np.bool_], snr: float, rng: np.random.Generator
) -> FloatImage:
    """Add Rician noise; `snr` is the mean in `reference` (x, y, z) over the standard deviation per channel."""
    sigma = np.float32(image[reference].mean(dtype=np.float64) / snr)
    real = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, sigma * rng.standard_normal(image.shape, dtype=np.float32)))

"""Size of the head relative to a template, from the outer surface of the skull.

Rays leave the middle of the head in directions that are fixed in the template. On each ray the outer skull lies
where the intensity falls most steeply from the scalp inwards. With its distance r, and the distance c of the
border of the cranial cavity in the template, the intracranial volume is

    V = V0 exp(3 mean ln(r / (c + s))),

with the volume V0 of the template's cavity and the thickness s of a skull. The mean leaves out the extremes.
Tissue volumes times V0 / V are those of a head of the template's size. Atrophy changes them, for the brain does
not enter V. The pose of the head is the rotation that best brings the centres of its structures to those of the
template.

Assumes a bright scalp on a dark skull, and directions above the base of the skull. If fewer than `SEEN` of the
directions show scalp and skull, the border of the brain mask takes their place, and atrophy shrinks V: the
normalised volumes then show less of it.

References: Smith et al. 2002, 10.1006/nimg.2002.1040 (scaling by the skull); Buckner et al. 2004,
10.1016/j.neuroimage.2004.06.018 (intracranial volume from scaling to a template); Umeyama 1991,
10.1109/34.88573 (pose). Template: ICBM 152 2009a symmetric (``data/README.md``).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.transforms import Volume
from qsmengine.stages.anatomy.network import CLASSES
from qsmengine.stages.anatomy.structures import HEAD, STRUCTURES, Segmentation

TEMPLATE_VOLUME = 1_886_539.0
"""Volume of the template's cranial cavity [mm^3]."""
MIDDLE = np.array([0.0, -18.0, 10.0])
"""Start of the rays in the template [mm]."""
SKULL = 6.3
"""Thickness of the skull along the rays [mm]: near the mean of the first two bundled heads, 5.8 and 6.5 mm."""
STEP, NEAREST, FARTHEST = 0.5, 30.0, 150.0
"""Distance of the points of a ray, of its first and of its last point [mm]."""
SMOOTHING = 0.7
"""Standard deviation of the Gaussian along a ray [mm]."""
SCALP, UNDER_SKIN = 20.0, 2.0
"""Greatest and least depth of the outer skull under the skin [mm]."""
AROUND_BRAIN = 1.5
"""Least distance of the outer skull from the brain mask [mm]."""
DARKER = 0.7
"""Largest intensity of the skull relative to that of the scalp above it."""
SEEN = 0.5
"""Least fraction of the directions."""
KEPT = 0.8
"""Fraction of the directions that enter the mean."""
LEAST_CENTRES = 6
PLACED = (
    *(s.name for s in STRUCTURES if s.name != "accumbens"),
    "cerebellar_cortex",
    "cortex",
    "fourth_ventricle",
)
"""Structures whose centres give the pose."""

Centres = Mapping[str, FloatArray]


class Reference(NamedTuple):
    """Centres of structures [mm], directions (ray, 3), and borders of cavity and brain mask (ray,) [mm]."""

    centres: Centres
    directions: FloatArray
    cavity: FloatArray
    brain: FloatArray


class HeadSize(NamedTuple):
    """Intracranial volume [mm^3], fraction of the directions that show the skull, and what gave the volume."""

    intracranial: float
    seen: float
    origin: Literal["skull", "brain"]

    @property
    def scaling(self) -> float:
        """Factor of volumes that brings the head to the template's size."""
        return TEMPLATE_VOLUME / self.intracranial


@cache
def load_reference() -> Reference:
    """Return the bundled measures of the template."""
    centres = {
        row["structure"]: np.array([float(row[a]) for a in "xyz"]) for row in _rows("mni152_centres.tsv")
    }
    columns = ("x", "y", "z", "cavity", "brain")
    rays = np.array([[float(row[column]) for column in columns] for row in _rows("mni152_borders.tsv")])
    return Reference(centres, rays[:, :3], rays[:, 3], rays[:, 4])


def _rows(name: str) -> list[dict[str, str]]:
    path = resources.files("qsmengine.stages.anatomy").joinpath("data", name)
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t"))


def centres_of(found: Segmentation, labels: npt.NDArray[np.uint8]) -> dict[str, FloatArray]:
    """Return the centres (3,) [mm] of the structures in `PLACED`, sides apart; `labels` from ``sides``."""
    masks = {}
    for name in PLACED:
        both = next((s for s in STRUCTURES if s.name == name), None)
        if both is None:
            masks[name] = found.classes == CLASSES.index(name)
        else:
            masks[f"left_{name}"], masks[f"right_{name}"] = labels == both.left, labels == both.right
    affine = found.grid.affine
    return {
        name: np.asarray(affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3])
        for name, mask in masks.items()
        if mask.any()
    }


def head_size(
    image: Volume,
    grid: Grid,
    brain: npt.NDArray[np.bool_],
    centres: Centres,
    reference: Reference | None = None,
) -> HeadSize | None:
    """Return the size of the head.

    Parameters
    ----------
    image
        (x, y, z) T1-weighted, any unit.
    grid
        Geometry.
    brain
        (x, y, z) brain mask.
    centres
        Centres of structures, from :func:`centres_of`.
    reference
        Template; None: the bundled one.

    Returns
    -------
    HeadSize or None
        None with fewer than six centres, or a brain mask that does not enclose the middle of the head.
    """
    reference = reference or load_reference()
    pose = head_pose(centres, reference)
    if pose is None:
        return None
    start = pose[:3, :3] @ MIDDLE + pose[:3, 3]
    turned = reference.directions @ (pose[:3, :3] / np.cbrt(np.linalg.det(pose[:3, :3]))).T
    radius = np.arange(NEAREST, FARTHEST, STEP)
    inside = _along(brain.astype(np.float32), grid, start, turned, radius) > 0.5
    edge = _last(inside, radius)
    if np.isnan(edge).mean() > 1 - SEEN:
        return None
    skull = _outer_skull(image, grid, start, turned, radius, edge)
    seen = float(np.isfinite(skull).mean())
    if seen >= SEEN:
        return HeadSize(_volume(skull, reference.cavity + SKULL), seen, "skull")
    return HeadSize(_volume(edge, reference.brain), seen, "brain")


def head_pose(centres: Centres, reference: Reference | None = None) -> FloatArray | None:
    """Return the similarity (4, 4) from the template to the head [mm]; None with fewer than six centres."""
    reference = reference or load_reference()
    known = [name for name in reference.centres if name in centres]
    if len(known) < LEAST_CENTRES:
        return None
    return similarity(np.array([reference.centres[n] for n in known]), np.array([centres[n] for n in known]))


def similarity(source: FloatArray, target: FloatArray) -> FloatArray:
    """Return the rotation, scaling and shift (4, 4) that best bring points (n, 3) to others (n, 3)."""
    middle, aim = source.mean(axis=0), target.mean(axis=0)
    left, values, right = np.linalg.svd((target - aim).T @ (source - middle))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    scale = float((values * signs).sum() / ((source - middle) ** 2).sum())
    pose = np.eye(4)
    pose[:3, :3] = scale * (left * signs) @ right
    pose[:3, 3] = aim - pose[:3, :3] @ middle
    return pose


def _volume(distance: FloatArray, border: FloatArray) -> float:
    """Return the intracranial volume [mm^3] of distances (ray,); directions without one are left out."""
    known = np.isfinite(distance)
    ratio = np.sort(np.log(distance[known] / border[known]))
    cut = int(len(ratio) * (1 - KEPT) / 2)
    return TEMPLATE_VOLUME * float(np.exp(3 * ratio[cut : len(ratio) - cut].mean()))


def _outer_skull(
    image: Volume, grid: Grid, start: FloatArray, directions: FloatArray, radius: FloatArray, edge: FloatArray
) -> FloatArray:
    """Return the distance (ray,) of the outer skull; nan where scalp and skull are not seen."""
    from scipy.ndimage import gaussian_filter1d

    sampled = _along(image, grid, start, directions, radius, outside=np.nan)
    covered, values = np.isfinite(sampled), np.nan_to_num(sampled)
    skin = _last(values > HEAD * float(np.percentile(image, 98)), radius)
    smooth = gaussian_filter1d(values, SMOOTHING / STEP, axis=1)
    fall = gaussian_filter1d(values, SMOOTHING / STEP, axis=1, order=1)
    low = np.maximum(edge + AROUND_BRAIN, skin - SCALP)[:, None]
    allowed = (radius > low) & (radius < (skin - UNDER_SKIN)[:, None])
    best = np.where(allowed, fall, -np.inf).argmax(axis=1)
    rays, apart = np.arange(len(best)), round(2 * SMOOTHING / STEP)
    bone, scalp = (smooth[rays, np.clip(best + s, 0, len(radius) - 1)] for s in (-apart, apart))
    after = np.clip(np.searchsorted(radius, skin + 2 * STEP), 0, len(radius) - 1)
    good = allowed.any(axis=1) & covered[rays, after] & (bone < DARKER * scalp)
    return np.where(good, radius[best], np.nan)


def _along(
    image: Volume,
    grid: Grid,
    start: FloatArray,
    directions: FloatArray,
    radius: FloatArray,
    outside: float = 0.0,
) -> FloatArray:
    """Return `image` (ray, point), interpolated linearly at `radius` from `start` along `directions`."""
    from scipy.ndimage import map_coordinates

    points = start + radius[None, :, None] * directions[:, None, :]
    inverse = np.linalg.inv(grid.affine)
    voxels = np.moveaxis(points @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)
    return np.asarray(map_coordinates(image, voxels, order=1, cval=outside, output=np.float64))


def _last(inside: npt.NDArray[np.bool_], radius: FloatArray) -> FloatArray:
    """Return the distance (ray,) at which `inside` (ray, point) ends; nan for rays without such points."""
    last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    return np.where(inside.any(axis=1), radius[last] + STEP / 2, np.nan)

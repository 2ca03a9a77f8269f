"""Features drawn into the brain in addition to the label map: veins, calcifications, white-matter lesions.

Every feature has a fraction per voxel of the label grid (partial volume). chi, r2 and m0 of a voxel become the
means of tissue and feature weighted by their fractions, the rates weighted by fraction and m0. Voxels with a
fraction of more than half get the index of the feature, so that properties looked up by label follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qsmengine.errors import UsageError
from qsmengine.ops.domain import bounding_box
from qsmengine.phantom.labels import HeadIndex, LabelArray, Region
from qsmengine.phantom.refine import coarser_grid
from qsmengine.phantom.resample import FloatImage, Resampler
from qsmengine.phantom.tissue import TissueMaps, tissue_table
from qsmengine.phantom.veins import vein_share

REGIONS = {
    "lesions": Region(903, "drawn_lesion", "n/a", "white_matter_lesion", brain=True),
    "veins": Region(901, "drawn_vein", "n/a", "vein", brain=True),
    "calcifications": Region(902, "drawn_calcification", "n/a", "calcification", brain=True),
}
"""Feature -> its row of the label table, in the order in which they are drawn over each other."""
LABEL_SHARE = 0.3
"""Fraction of a feature from which a voxel of any size has its label."""
WHITE_MATTER = (2, 41)
VENTRICLES = (4, 43, 14)
PLEXUS = (136, 137, 163, 164)
LESIONS = 14
LESION_RADIUS = (1.5, 5.0)
"""Half axes of lesions [voxels of the label map, 1 mm]."""
LESION_CHI = (0.0, 0.03)
"""Added to the table's chi of lesions [ppm]."""
CALCIFICATION_RADIUS = (1.0, 2.5)
CALCIFICATION_CHI = (-2.5, -1.0)
"""[ppm]"""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DrawnFeature:
    """Feature on the grid of the head: its fraction `share` (x, y, z) [1], and `chi` (x, y, z) [ppm] inside."""

    share: FloatImage
    chi: FloatImage


@dataclass(frozen=True)
class FeaturedHead:
    """A head with features: `head`, its `tissue` and the `shares` of the features by label."""

    head: HeadIndex
    tissue: TissueMaps
    shares: Mapping[int, FloatImage]


def label_image(head: HeadIndex, shares: Mapping[int, FloatImage], resampler: Resampler) -> LabelArray:
    """Return labels on the resampler's target: by majority, features from a fraction of LABEL_SHARE.

    `shares` are on the label grid, of which the resampler's source may be a subdivision.
    """
    labels = np.array([region.label for region in head.regions], np.int16)[resampler.majority(head.index)]
    for number, share in shares.items():
        parts = resampler.source.shape[0] // share.shape[0]
        source = coarser_grid(resampler.source, parts)
        labels[Resampler(source, resampler.voxel_size).average(share) >= LABEL_SHARE] = number
    return labels


def check_features(features: Sequence[str]) -> None:
    """Raise UsageError for an unknown feature."""
    unknown = [name for name in features if name not in REGIONS]
    if unknown or isinstance(features, str):
        raise UsageError(f"features: {features!r} given; a list of {', '.join(sorted(REGIONS))} is needed")


def add_features(
    head: HeadIndex,
    tissue: TissueMaps,
    features: Sequence[str],
    field_strength: float,
    seeds: np.random.SeedSequence,
    *,
    canvas: HeadIndex | None = None,
) -> FeaturedHead:
    """Draw `features` into a head.

    Parameters
    ----------
    head, tissue
        Labels and their properties, on the label grid or one that divides its voxels.
    features
        Any of "veins", "calcifications", "lesions".
    field_strength
        [T].
    seeds
        Each feature draws from a separate stream, so it does not depend on the others.
    canvas
        The head on the label grid, on which features are drawn [default: `head`].

    Raises
    ------
    UsageError
        For an unknown feature.
    """
    check_features(features)
    if not features:
        return FeaturedHead(head, tissue, {})
    streams = dict(zip(sorted(REGIONS), seeds.spawn(len(REGIONS)), strict=True))
    draw: Mapping[str, Callable[[HeadIndex, np.random.Generator, int], DrawnFeature]] = {
        "veins": _veins, "calcifications": _calcifications, "lesions": _lesions,
    }  # fmt: skip
    canvas = canvas or head
    parts = head.grid.shape[0] // canvas.grid.shape[0]
    to_labels = Resampler(head.grid, canvas.grid.voxel_size)
    index, regions = head.index.copy(), head.regions
    tissue = TissueMaps(*(image.copy() for image in (tissue.chi, tissue.r2star, tissue.r2, tissue.m0)))
    shares: dict[int, FloatImage] = {}
    for name, region in REGIONS.items():
        if name not in features:
            continue
        drawing = draw[name](canvas, np.random.default_rng(streams[name]), parts)
        _mix(tissue, index, drawing, region, len(regions), field_strength)
        regions = (*regions, region)
        share = to_labels.average(drawing.share)
        shares = {number: other * (1 - share) for number, other in shares.items()}
        shares[region.label] = share
    return FeaturedHead(replace(head, index=index, regions=regions), tissue, shares)


def _mix(
    tissue: TissueMaps,
    index: npt.NDArray[np.uint8],
    drawing: DrawnFeature,
    region: Region,
    number: int,
    field_strength: float,
) -> None:
    """Draw a feature into `tissue` and `index` (x, y, z)."""
    row = tissue_table()[region.tissue]
    box = tuple(slice(a, b) for a, b in zip(*bounding_box(drawing.share), strict=True))
    share = drawing.share[box]
    rest: FloatImage = 1 - share
    m0: FloatImage = rest * tissue.m0[box] + share * np.float32(row.m0)
    weight: FloatImage = np.zeros_like(m0)
    np.divide(share * np.float32(row.m0), m0, out=weight, where=m0 > 0)
    tissue.m0[box] = m0
    tissue.chi[box] = rest * tissue.chi[box] + share * drawing.chi[box]
    for image, rate in ((tissue.r2star, row.r2star_at(field_strength)), (tissue.r2, row.r2)):
        image[box] = (1 - weight) * image[box] + weight * np.float32(rate)
    index[box][share > 0.5] = number


def _veins(head: HeadIndex, rng: np.random.Generator, parts: int) -> DrawnFeature:
    brain = head.lookup([region.brain for region in head.regions], bool)
    tissue = head.lookup([region.tissue in {"white_matter", "cortex"} for region in head.regions], bool)
    share = vein_share(brain, tissue, _select(head, VENTRICLES), rng, parts)
    return DrawnFeature(share, np.broadcast_to(np.float32(tissue_table()["vein"].chi), share.shape))


def _calcifications(head: HeadIndex, rng: np.random.Generator, parts: int) -> DrawnFeature:
    """Draw one in the choroid plexus of each side, one in the pineal gland, two in white matter."""
    middle, back = _behind_third_ventricle(head)
    centres = [rng.choice(np.argwhere(_select(head, labels))) for labels in (PLEXUS[:2], PLEXUS[2:])]
    centres.append(np.array([middle, *back]))
    centres.extend(rng.choice(np.argwhere(_select(head, WHITE_MATTER)), 2, replace=False))
    brain = head.lookup([region.brain for region in head.regions], bool)
    return _blobs(brain, np.array(centres), CALCIFICATION_RADIUS, CALCIFICATION_CHI, rng, parts)


def _lesions(head: HeadIndex, rng: np.random.Generator, parts: int) -> DrawnFeature:
    """Draw ellipsoids in white matter, half of them centred within 10 voxels of the ventricles."""
    from scipy.ndimage import distance_transform_edt

    white = _select(head, WHITE_MATTER)
    near = white & (distance_transform_edt(~_select(head, VENTRICLES)) < 10)
    half = LESIONS // 2
    centres = [rng.choice(np.argwhere(where), half, replace=False) for where in (near, white)]
    chi = tissue_table()["white_matter_lesion"].chi
    return _blobs(
        white, np.concatenate(centres), LESION_RADIUS, (chi + LESION_CHI[0], chi + LESION_CHI[1]), rng, parts
    )


def _blobs(
    inside: Mask,
    centres: npt.NDArray[np.int64],
    radius: tuple[float, float],
    chi: tuple[float, float],
    rng: np.random.Generator,
    parts: int,
) -> DrawnFeature:
    """Draw axis-aligned ellipsoids, half axes from `radius` and chi from `chi`; edges are one part wide.

    `parts` of a voxel along each axis are drawn.
    """
    shape = [n * parts for n in inside.shape]
    share, value = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    reach = int(np.ceil(radius[1])) + 1
    for centre in centres:
        axes = rng.uniform(*radius, 3)
        coarse = tuple(
            slice(max(0, c - reach), min(c + reach + 1, n)) for c, n in zip(centre, inside.shape, strict=True)
        )
        box = tuple(slice(s.start * parts, s.stop * parts) for s in coarse)
        position = [(np.arange(s.start, s.stop) + 0.5) / parts - 0.5 for s in box]
        away = [(p - c) / a for p, c, a in zip(position, centre, axes, strict=True)]
        x, y, z = np.meshgrid(*away, indexing="ij", sparse=True)
        distance = (np.sqrt(x * x + y * y + z * z) - 1) * np.cbrt(axes.prod()) * parts
        part = np.clip(0.5 - distance, 0, 1) * inside[coarse].repeat(parts, 0).repeat(parts, 1).repeat(parts, 2)
        chosen = part > share[box]
        value[box][chosen] = rng.uniform(*chi)
        share[box][chosen] = part[chosen]
    return DrawnFeature(share, value)


def _behind_third_ventricle(head: HeadIndex) -> tuple[int, tuple[int, int]]:
    """Return the position of the pineal gland: mid x of the third ventricle, 3 voxels behind its back."""
    x, y, z = np.nonzero(_select(head, (14,)))
    back = int(y.min())
    return round(float(x.mean())), (back - 3, round(float(z[y <= back + 3].mean())))


def _select(head: HeadIndex, labels: Sequence[int]) -> Mask:
    return head.lookup([region.label in labels for region in head.regions], bool)

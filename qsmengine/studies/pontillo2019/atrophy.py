"""Heads of the virtual cohort: the bundled head with the volumes and the lesions of a participant.

Deep grey matter is scaled first. The cortex then gives voxels to the fluid around it, or takes some, until grey
matter has its volume; so does white matter, with the ventricles. Lesions are ellipsoids in white matter. The
bundled head is that of the average control::

    volume = V_head * value / mean(HC)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from qsmengine.ops.domain import bounding_box
from qsmengine.phantom.features import LESION_RADIUS, REGIONS, VENTRICLES
from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.structural import GREY, LESION, WHITE
from qsmengine.studies.pontillo2019.raw_head import control_mean, with_structures

ROUGH = 1.0
"""Standard deviation of the depth to which a border moves, from place to place [voxels of the label map]."""
PATCH = 2.0
"""Size of these places, standard deviation of a Gaussian [voxels]."""
NEAR = 10.0
"""Largest distance from the ventricles of the centres of half of the lesions [voxels]."""

Mask = npt.NDArray[np.bool_]


def participant_head(head: HeadIndex, values: Mapping[str, float], seed: np.random.SeedSequence) -> HeadIndex:
    """Return `head` with the volumes and lesions of a participant.

    `values` are named as in the cohort; ``lesion_load`` [mL] may be NaN: no lesions. Those of `head` become
    white matter.
    """
    borders, lesions = (np.random.default_rng(one) for one in seed.spawn(2))
    native = tissue_volumes(head)
    made = with_structures(_without_lesions(head), values)
    for name, solid, fluid in (
        ("NGMV", _labelled(made, "cerebral_cortex"), _labelled(made, "cerebrospinal_fluid")),
        ("NWMV", _labelled(made, "cerebral_white_matter"), _labels(made, VENTRICLES)),
    ):
        wanted = native[name] * values[name] / control_mean(name)
        change = round((wanted - tissue_volumes(made)[name]) * 1e3 / head.grid.voxel_volume)
        made = replace(made, index=_moved(made.index, solid, fluid, int(solid.sum()) + change, borders))
    load = values["lesion_load"]
    return made if not np.isfinite(load) else _with_lesions(made, load, lesions)


def tissue_volumes(head: HeadIndex) -> dict[str, float]:
    """Return the volumes [mL] of grey and white matter, their sum, and lesions."""
    unit = 1e-3 * head.grid.voxel_volume
    counts = np.bincount(head.index.ravel(), minlength=len(head.regions))

    def total(tissues: frozenset[str]) -> float:
        return unit * sum(
            int(n) for n, r in zip(counts, head.regions, strict=True) if r.brain and r.tissue in tissues
        )

    grey, white = total(GREY), total(WHITE)
    return {"NBV": grey + white, "NGMV": grey, "NWMV": white, "lesion_load": total(frozenset({LESION}))}


def _labelled(head: HeadIndex, name: str) -> Mask:
    return head.lookup([region.brain and region.name == name for region in head.regions], bool)


def _labels(head: HeadIndex, labels: tuple[int, ...]) -> Mask:
    return head.lookup([region.label in labels for region in head.regions], bool)


def _moved(
    index: npt.NDArray[np.uint8], solid: Mask, fluid: Mask, wanted: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return `index` (x, y, z) with the border of `solid` and `fluid` moved until `wanted` voxels are solid."""
    box = tuple(slice(a, b) for a, b in zip(*bounding_box(solid | fluid), strict=True))
    own, free = solid[box], fluid[box]
    to_own, nearest_own = ndimage.distance_transform_edt(~own, return_indices=True)
    to_free, nearest_free = ndimage.distance_transform_edt(~free, return_indices=True)
    rough = ndimage.gaussian_filter(rng.standard_normal(own.shape, dtype=np.float32), PATCH)
    depth = np.where(own, -to_free, to_own) + ROUGH * rough / rough.std()
    candidates = np.flatnonzero(own | free)
    order = np.argsort(depth.ravel()[candidates], kind="stable")
    kept = np.zeros(own.shape, bool)
    kept.ravel()[candidates[order[: min(max(wanted, 0), candidates.size)]]] = True
    changed = index.copy()
    part, before = changed[box], index[box]
    gained, lost = kept & ~own, own & ~kept
    part[gained] = before[tuple(nearest_own)][gained]
    part[lost] = before[tuple(nearest_free)][lost]
    return changed


def _without_lesions(head: HeadIndex) -> HeadIndex:
    """Return `head` with its lesions turned into the white matter of their side."""
    white = {r.hemisphere: i for i, r in enumerate(head.regions) if r.name == "cerebral_white_matter"}
    numbers = np.arange(len(head.regions), dtype=head.index.dtype)
    for number, region in enumerate(head.regions):
        if region.brain and region.tissue == LESION:
            numbers[number] = white[region.hemisphere]
    return replace(head, index=numbers[head.index])


def _with_lesions(head: HeadIndex, load: float, rng: np.random.Generator) -> HeadIndex:
    """Draw ellipsoids in white matter until there are `load` [mL] of lesions."""
    white = _labelled(head, "cerebral_white_matter")
    near = np.argwhere(white & (ndimage.distance_transform_edt(~_labels(head, VENTRICLES)) <= NEAR))
    anywhere = np.argwhere(white)
    missing = round(load * 1e3 / head.grid.voxel_volume)
    index, number = head.index.copy(), len(head.regions)
    reach = int(np.ceil(LESION_RADIUS[1]))
    around = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    places = near if len(near) else anywhere
    while missing > 0 and white.any():
        away = np.linalg.norm(around / rng.uniform(*LESION_RADIUS, 3), axis=1)
        centre = rng.choice(places)
        places = anywhere if places is near or not len(near) else near
        voxels = around[np.argsort(away, kind="stable")][: int((away <= 1).sum())] + centre
        voxels = voxels[((voxels >= 0) & (voxels < head.index.shape)).all(axis=1)]
        voxels = voxels[white[tuple(voxels.T)]][:missing]
        index[tuple(voxels.T)] = number
        white[tuple(voxels.T)] = False
        missing -= len(voxels)
    return replace(head, index=index, regions=(*head.regions, REGIONS["lesions"]))

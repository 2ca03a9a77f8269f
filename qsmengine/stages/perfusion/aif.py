"""Arterial input function, chosen automatically or taken from a mask.

`automatic` is deterministic: the same series gives the same voxels. Features of each curve are taken from 5 s
before the arrival of the bolus to 25 s after it: area, peak p, first moment m1, width w at half height, and
roughness q = sum of squared second differences / area^2.

1. Candidates lie in the mask without its outer layer of voxels, never saturate, and have an area among the
   largest 10 %. Of these, the earlier half by m1 is kept. Dropped are voxels with more than twice the median
   noise of those left; spikes of a frame (q area^2 > 3 p^2); voxels whose signal S0 before the bolus is less
   than half that of their brightest neighbour, because they lie mostly in bone or air; and curves of less than
   0.6 times the mean of the five largest areas left: these voxels lie only partly in an artery, or in tissue.
   The limits do not depend on the noise level, so they suit denoised series.
2. The 200 candidates of the largest score p / (m1 w) are kept, ties in the order of the voxels.
3. Ward's clustering of the curves, each divided by its area, gives five clusters. Of those whose mean peak is
   at least the median of theirs, the earliest by mean m1 and those up to a frame later are arteries.
4. Of their voxels, the purest are taken, in any artery: those whose area and peak reach 0.96 of the mean of the
   `fewest` largest, at least `fewest` and at most `most`. A voxel that is tissue by a tenth flattens the peak
   and raises flows by a quarter, so a few pure voxels are better than many neighbours.
5. The AIF is their mean, weighted by 1 / sigma^2 with the standard deviation sigma of dR2* at baseline. It is
   refused if its area is less than 5 times that of the mask's mean curve, about 20 in healthy people.

`mask` takes the weighted mean over a given mask. Two options correct the curve of either method:

- `vof`: partial volume in the artery lowers the AIF. It is scaled to the area of a venous output function,
  chosen as in step 4 among the 200 curves of the largest area whose first moment lies after the mask's
  median, including the mask's rim. It is not scaled down: a venous area below the arterial one shows that
  the veins, too, lie only partly in their voxels.
- `relaxivity: quadratic`: in large vessels dR2* = b C + a C^2 in the concentration C, but r C in tissue. The
  AIF becomes the dR2* that tissue would have, r C with C = (-b + sqrt(b^2 + 4 a dR2*)) / (2 a), dR2* in 1/ms.

References: Mouridsen et al. 2006, 10.1002/mrm.20759 (largest areas);
Yin et al. 2014, 10.1371/journal.pone.0100308 (agglomerative clustering is reproducible).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.order_statistics import median
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.stages.perfusion.candidates import Candidates, FloatArray, Places, find_candidates
from qsmengine.stages.perfusion.clusters import ward
from qsmengine.stages.perfusion.maps import mean_curve

INPUTS = ("dr2star", "dr2star_sd", "saturated", "mask", "frame_times", "arrival")
OUTPUTS = {"aif": "1/s", "aif_mask": "1", "vof_scale": "1"}
BEST = 200
"""Number of candidates that are clustered."""
_CLUSTERS = 5
_SMALLEST = 5.0
"""Smallest area of the AIF over that of the mask's mean curve: a mean blood volume of 14 mL/100 g."""


class AifParams(Params):
    """Corrections of an arterial curve."""

    vof: bool = Field(False, description="scale the AIF to the area of a venous curve, against partial volume")
    relaxivity: Literal["linear", "quadratic"] = Field(
        "linear", description="dR2* of blood as a function of the concentration"
    )
    quadratic: float = Field(0.0076, gt=0, description="a: quadratic relaxivity of blood [1/(ms mM^2)]")
    linear: float = Field(5.74e-4, ge=0, description="b: linear relaxivity of blood [1/(ms mM)]")
    tissue: float = Field(0.044, gt=0, description="r: relaxivity of tissue [1/(ms mM)]")


class AutomaticParams(AifParams):
    """Parameters of the automatic choice."""

    fewest: int = Field(3, ge=1, le=100, description="fewest voxels of the artery")
    most: int = Field(20, ge=1, le=200, description="most voxels of the artery")


class AifResult(NamedTuple):
    """``aif`` (frame,) [1/s], ``aif_mask`` (x, y, z) bool, and ``vof_scale`` [1].

    ``vof_scale`` is the venous over the arterial area; it is 1 without `vof`, and not applied below 1.
    """

    aif: Array
    aif_mask: Array
    vof_scale: float


def automatic(
    dr2star: Array,
    dr2star_sd: Array,
    saturated: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    arrival: float,
    grid: Grid,
    params: AutomaticParams,
    s0: Array | None = None,
    *,
    device: Device,
) -> AifResult:
    """Choose the artery from `dr2star` (x, y, z, frame) [1/s] and return its curve.

    `dr2star_sd` (x, y, z) [1/s]; `saturated` (x, y, z), number of saturated frames; `mask` (x, y, z);
    `frame_times` (frame,) [s]; `arrival` of the bolus [s]; `s0` (x, y, z), the signal before it, any unit.
    Without `s0`, voxels in bone and air are recognised by their noise only.

    Raises
    ------
    InputError
        For shapes that do not match, an empty mask, if no voxel qualifies, and if the area is too small.
    """
    found = find_candidates(dr2star, dr2star_sd, saturated, mask, frame_times, arrival, grid, device, s0)
    result = _corrected(found, artery(found, params), params, device)
    area, brain = float(result.aif.sum()), float(mean_curve(found.curves).sum())
    if area < _SMALLEST * brain:
        raise InputError(
            f"no artery found: the area of the best curve is only {area / brain:.1f} times that of the "
            "brain's mean curve, so its voxels lie mostly in tissue; give an AIF mask or curve",
            field="aif",
        )
    return result


def from_mask(
    dr2star: Array,
    dr2star_sd: Array,
    saturated: Array,
    mask: Array,
    aif_mask: Array,
    frame_times: tuple[float, ...],
    arrival: float,
    grid: Grid,
    params: AifParams,
    *,
    device: Device,
) -> AifResult:
    """Return the mean curve of `dr2star` (x, y, z, frame) [1/s] in `aif_mask` (x, y, z).

    Saturated voxels do not count.

    The other arguments are those of :func:`automatic`.

    Raises
    ------
    InputError
        For shapes that do not match, and if the mask holds no voxel that is not saturated.
    """
    found = find_candidates(dr2star, dr2star_sd, saturated, mask, frame_times, arrival, grid, device)
    asked = (np.ascontiguousarray(to_numpy(aif_mask)) != 0) & found.inside
    chosen = np.flatnonzero(asked & ~(np.ascontiguousarray(to_numpy(saturated)) > 0))
    if not chosen.size:
        count = int(asked.sum())
        reason = (
            f"its {count} voxels saturate during the passage" if count else "it does not overlap the brain mask"
        )
        raise InputError(
            f"no curve can be taken from the AIF mask: {reason}; choose other voxels", field="aif_mask"
        )
    return _corrected(found, chosen, params, device)


def artery(found: Candidates, params: AutomaticParams, region: npt.NDArray[np.bool_] | None = None) -> Places:
    """Return flat indices of the artery's voxels, in a `region` (x, y, z) if given.

    Raises
    ------
    InputError
        If no voxel qualifies.
    """
    best = found.likely(region)[:BEST]
    if not best.size:
        raise InputError(
            "no voxel of the mask qualifies as an artery (positive passage, not saturated); give an AIF mask "
            "or curve",
            field="aif",
        )
    arteries = _early_high_clusters(found, best) if best.size > _CLUSTERS else best
    return found.purest(arteries, params.fewest, params.most)


def _early_high_clusters(found: Candidates, best: Places) -> Places:
    curves = found.curves_at(best)
    labels = ward(curves / found.area.flat[best][:, np.newaxis], _CLUSTERS)
    clusters = [best[labels == k] for k in range(_CLUSTERS)]
    peaks, moments = (
        np.array([feature.flat[c].mean() for c in clusters]) for feature in (found.peak, found.moment)
    )
    high = peaks >= median(peaks)
    chosen = high & (moments <= moments[high].min() + found.curves.step)
    return np.concatenate([c for c, taken in zip(clusters, chosen, strict=True) if taken])


def _corrected(found: Candidates, chosen: Places, params: AifParams, device: Device) -> AifResult:
    curve = found.mean_curve(chosen)
    if params.relaxivity == "quadratic":
        curve = tissue_equivalent(curve, params)
    area = float(curve.sum())
    scale = _vein_area(found) / area if params.vof and area > 0 else 1.0
    return AifResult(curve * max(scale, 1.0), device.asarray(found.mask_of(chosen), bool), scale)


def tissue_equivalent(curve: FloatArray, params: AifParams) -> FloatArray:
    """Return the dR2* [1/s] that tissue has at the concentration that gives blood `curve` (frame,) [1/s].

    Negative values, which are noise, keep their sign.
    """
    size = np.abs(curve) * 1e-3
    root = np.sqrt(params.linear**2 + 4.0 * params.quadratic * size)
    return np.asarray(np.sign(curve) * 1e3 * params.tissue * (root - params.linear) / (2.0 * params.quadratic))


def _vein_area(found: Candidates) -> float:
    """Return the sum over frames of the venous curve [1/s]."""
    late = found.moment > median(found.moment[found.inside & (found.area > 0)])
    where = np.flatnonzero(found.unsaturated & late & (found.area > 0))
    where = where[found.smooth(where)]
    if not where.size:
        raise InputError("no voxel qualifies as a vein: switch vof off", field="aif")
    where = where[np.argsort(-found.area.flat[where], kind="stable")[:BEST]]
    group = AutomaticParams()
    return float(found.mean_curve(found.purest(where, group.fewest, group.most)).sum())


METHODS = (
    Method(
        stage="aif", name="automatic", run=automatic, params=AutomaticParams,
        inputs=(*INPUTS, "s0?"), outputs=OUTPUTS,
        summary="arterial input function by features and hierarchical clustering, reproducible",
        doi="10.1002/mrm.20759", bytes_per_voxel=200, bytes_per_volume=8,
    ),
    Method(
        stage="aif", name="mask", run=from_mask, params=AifParams,
        inputs=("dr2star", "dr2star_sd", "saturated", "mask", "aif_mask", "frame_times", "arrival"),
        outputs=OUTPUTS, summary="mean curve of a given mask, weighted by its noise",
        doi="10.3174/ajnr.A4341", bytes_per_voxel=200, bytes_per_volume=8,
    ),
)  # fmt: skip

"""Scores of a susceptibility or field map against the truth.

With e the estimate, t the truth and a bar for the mean over the voxels scored, all norms over those voxels:

- nrmse [%]: 100 |(e - mean e) - (t - mean t)| / |t - mean t|.
- nrmse_detrend [%]: the same for (e - c) / s after the regression e = s t + c: 100 sqrt(1 / r^2 - 1).
- correlation r: Pearson's.
- xsim: structural similarity in boxes of 5 x 5 x 5 voxels, truncated at the border of the image,

      (2 m_e m_t + 1e-4) (2 c_et + 1e-6) / ((m_e^2 + m_t^2 + 1e-4) (v_e + v_t + 1e-6))

  with means m, (biased) variances v and covariance c of the box; maps in [ppm].
- hfen [%]: 100 |L e - L t| / |L t| with L the Laplacian of a Gaussian of 1.5 voxels, truncated at 5 standard
  deviations, with the image mirrored at its border.

xsim and hfen also depend on values outside the voxels scored. The public benchmark QSM-CI scores the voxels of
the mask whose estimate is not 0 (:func:`scored_voxels`), which favours methods that erode the mask; the engine
reports scores over the whole mask as well.

References: Langkammer et al. 2018, 10.1002/mrm.26830 (nrmse, hfen); QSM Challenge 2.0, 10.1002/mrm.28754
(detrending, linearity); Milovic et al. 2024, 10.1002/mrm.30271 (xsim).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array, check_not_empty
from qsmengine.errors import InputError
from qsmengine.ops.domain import bounding_box

DGM_LABELS = (1, 2, 3, 4, 5, 6)
"""Deep grey matter in the label images of QSM-CI: caudate, pallidum, putamen, red, dentate, nigra."""

_BOX = 5
_SIGMA = 1.5
_TRUNCATE = 5.0
_REACH = int(_TRUNCATE * _SIGMA + 0.5)

Volume = npt.NDArray[np.float64]
Selection = npt.NDArray[np.bool_]


class Scores(NamedTuple):
    """Scores over some voxels: nrmse, nrmse_detrend, hfen [%], correlation, xsim [1], volume [mm^3]."""

    nrmse: float
    nrmse_detrend: float
    correlation: float
    xsim: float
    hfen: float
    volume: float


class Evaluation(NamedTuple):
    """`scored`: voxels where mask and estimate are not 0; `whole`: whole mask; slope of the region means."""

    scored: Scores
    whole: Scores
    dgm_slope: float | None


def evaluate(
    estimate: Array,
    truth: Array,
    mask: Array,
    voxel_volume: float,
    *,
    labels: Array | None = None,
    dgm_labels: Sequence[int] = DGM_LABELS,
) -> Evaluation:
    """Score `estimate` against `truth`, both (x, y, z) [ppm], in `mask` (x, y, z).

    Parameters
    ----------
    estimate, truth, mask
        (x, y, z).
    voxel_volume
        [mm^3].
    labels
        (x, y, z) integers, for the slope of the region means; None omits it.
    dgm_labels
        Values of `labels` that are regions of deep grey matter.

    Raises
    ------
    InputError
        For shapes that differ, an empty mask, non-finite values inside it, a truth that is constant in the
        voxels scored, and an estimate that is 0 in the whole mask.
    """
    e, t = (_checked(name, a, mask) for name, a in (("estimate", estimate), ("truth", truth)))
    inside = to_numpy(mask) != 0
    scored = scored_voxels(e, inside)
    if not scored.any():
        raise InputError("is 0 in the whole mask", field="estimate")
    slope = None if labels is None else dgm_slope(e, t, labels, dgm_labels)
    e, t, scored, inside = _crop(inside, e, t, scored, inside)
    return Evaluation(
        scores(e, t, scored, voxel_volume),
        scores(e, t, inside, voxel_volume),
        slope,
    )


def scores(estimate: Volume, truth: Volume, selected: Selection, voxel_volume: float) -> Scores:
    """Return all scores over the voxels `selected`."""
    return Scores(
        nrmse(estimate, truth, selected),
        nrmse_detrend(estimate, truth, selected),
        correlation(estimate, truth, selected),
        xsim(estimate, truth, selected),
        hfen(estimate, truth, selected),
        float(np.count_nonzero(selected)) * voxel_volume,
    )


def scored_voxels(estimate: Array, mask: Array) -> Selection:
    """Return the voxels that QSM-CI scores: `mask` is set and `estimate` is not 0."""
    return np.asarray((to_numpy(mask) != 0) & (to_numpy(estimate) != 0))


def nrmse(estimate: Array, truth: Array, selected: Array) -> float:
    """Return the error of the demeaned map relative to the demeaned truth (root mean squares) [%]."""
    e, t = _demeaned(estimate, truth, selected)
    return 100.0 * float(np.linalg.norm(e - t) / np.linalg.norm(t))


def nrmse_detrend(estimate: Array, truth: Array, selected: Array) -> float:
    """Return the same after regressing out scale and offset [%]; without a slope nothing is corrected."""
    e, t = _demeaned(estimate, truth, selected)
    slope = float(e @ t) / float(t @ t)
    corrected = e / slope if slope != 0.0 else e
    return 100.0 * float(np.linalg.norm(corrected - t) / np.linalg.norm(t))


def correlation(estimate: Array, truth: Array, selected: Array) -> float:
    """Return Pearson's correlation; 0 for a constant estimate."""
    e, t = _demeaned(estimate, truth, selected)
    length = float(np.linalg.norm(e) * np.linalg.norm(t))
    return float(e @ t) / length if length > 0.0 else 0.0


def xsim(estimate: Array, truth: Array, selected: Array) -> float:
    """Return the mean structural similarity with the constants for susceptibility in [ppm]."""
    e, t = _double(estimate), _double(truth)
    weight = _box_sum(np.ones_like(e))
    mean_e, mean_t = _box_sum(e) / weight, _box_sum(t) / weight
    power = mean_e**2 + mean_t**2
    variance = _box_sum(e * e + t * t) / weight - power
    covariance = _box_sum(e * t) / weight - mean_e * mean_t
    similarity = (2.0 * mean_e * mean_t + 1e-4) * (2.0 * covariance + 1e-6)
    similarity /= (power + 1e-4) * (variance + 1e-6)
    return float(similarity[to_numpy(selected)].mean())


def hfen(estimate: Array, truth: Array, selected: Array) -> float:
    """Return the error of the edges: norm of the filtered error over that of the filtered truth [%]."""
    from scipy.ndimage import gaussian_laplace

    e, t = _double(estimate), _double(truth)
    where = to_numpy(selected)
    error, edges = (gaussian_laplace(a, _SIGMA, truncate=_TRUNCATE)[where] for a in (e - t, t))
    return 100.0 * float(np.linalg.norm(error) / np.linalg.norm(edges))


def dgm_slope(
    estimate: Array, truth: Array, labels: Array, dgm_labels: Sequence[int] = DGM_LABELS
) -> float | None:
    """Return the slope of the region means of `estimate` over those of `truth`.

    QSM-CI's dgm_linearity is |1 - slope|.

    Regions without a voxel are left out. None with fewer than two regions, or if the truth's means are equal.
    """
    e, t, regions = _double(estimate), _double(truth), to_numpy(labels)
    parts = [part for part in (regions == value for value in dgm_labels) if part.any()]
    means = np.array([(e[part].mean(), t[part].mean()) for part in parts]).reshape(-1, 2)
    if len(means) < 2:
        return None
    means -= means.mean(axis=0)
    spread = float(means[:, 1] @ means[:, 1])
    return float(means[:, 0] @ means[:, 1]) / spread if spread > 0.0 else None


def _double(array: Array) -> Volume:
    return np.asarray(to_numpy(array), dtype=np.float64)


def _checked(name: str, array: Array, mask: Array) -> Volume:
    """Return float64 values; non-finite values outside the mask become 0."""
    values, inside = _double(array), to_numpy(mask) != 0
    if values.shape != inside.shape:
        raise InputError(f"{name} has shape {values.shape}, the mask has {inside.shape}", field=name)
    check_not_empty(inside)
    finite = np.isfinite(values)
    if not finite[inside].all():
        raise InputError(f"no finite number in {int((~finite & inside).sum())} voxels of the mask", field=name)
    return np.where(finite, values, 0.0)


def _demeaned(estimate: Array, truth: Array, selected: Array) -> tuple[Volume, Volume]:
    where = to_numpy(selected)
    e, t = (_centred(_double(array)[where]) for array in (estimate, truth))
    if not t.any():
        raise InputError("is constant in the voxels scored", field="truth")
    return e, t


def _centred(values: Volume) -> Volume:
    """Subtract the mean; exactly 0 for a constant, whatever the rounding."""
    return np.zeros_like(values) if np.ptp(values) == 0.0 else values - values.mean()


def _crop(mask: Selection, *images: Any) -> list[Any]:
    """Return the mask's bounding box, widened by the reach of xsim and hfen."""
    start, stop = bounding_box(mask)
    box = tuple(slice(max(a - _REACH, 0), b + _REACH) for a, b in zip(start, stop, strict=True))
    return [image[box] for image in images]


def _box_sum(values: Volume) -> Volume:
    """Return sums over boxes; values outside the image count as 0."""
    from scipy.ndimage import uniform_filter

    filtered: Volume = uniform_filter(values, _BOX, mode="constant")
    return filtered * _BOX**3

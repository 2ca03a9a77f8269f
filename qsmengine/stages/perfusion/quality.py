"""Quality of an arterial input function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsmengine.errors import InputError
from qsmengine.ops.order_statistics import median
from qsmengine.stages.perfusion.transform import FloatArray

LARGEST_SHARE = 0.12
"""Largest plausible share of the brain in the area of the artery: a mean blood volume of 8 mL/100 g."""
IMPOSSIBLE_SHARE = 3.0
"""Share above which a curve is refused: even a curve of tissue gives less; 100 g would hold 200 mL of blood."""
BLOOD_PER_SHARE = 67.0
"""Mean blood volume [mL/100 g] of a share of 1."""
LEAST_PEAK_TO_NOISE = 10.0
"""Peak of the AIF over its noise below which the curve is distrusted."""
WIDEST = 12.0
"""Width of the AIF [s] above which the curve is distrusted."""


@dataclass(frozen=True)
class AifQuality:
    """Figures by which an arterial curve is judged.

    Parameters
    ----------
    peak
        Largest value [1/s].
    peak_to_noise
        Peak over the robust standard deviation of the frames before the arrival; 0 if these have no noise.
    width
        Width at half height [s].
    lead
        First moment of the brain's mean curve minus that of the artery [s]; positive for an artery.
    voxels
        Number of voxels; 0 for a given curve.
    brain_share
        Area of the brain's mean curve over that of the artery [1]; about 0.05 in healthy people.
    """

    peak: float
    peak_to_noise: float
    width: float
    lead: float
    voxels: int
    brain_share: float

    @property
    def problems(self) -> tuple[str, ...]:
        """Reasons to distrust the curve, one sentence each."""
        found = []
        if self.lead <= 0:
            found.append(f"the AIF passes {-self.lead:.1f} s later than the brain's mean curve")
        if 0 < self.peak_to_noise < LEAST_PEAK_TO_NOISE:
            found.append(f"the AIF's peak is only {self.peak_to_noise:.1f} times its noise")
        if self.width > WIDEST:
            found.append(f"the AIF is {self.width:.1f} s wide at half height")
        if self.brain_share > LARGEST_SHARE:
            found.append(
                f"the AIF's area is only {1.0 / self.brain_share:.1f} times that of the brain's mean curve "
                "(healthy: about 20): it lies partly in tissue, and blood volume and flow are too large"
            )
        return tuple(found)


def check_aif_quality(quality: AifQuality) -> None:
    """Raise InputError for an arterial curve that gives the brain a blood volume which none has."""
    if quality.brain_share <= IMPOSSIBLE_SHARE:
        return
    raise InputError(
        f"the brain's mean curve has {quality.brain_share:.2g} times the area of the artery's (healthy: about "
        f"0.05), so that 100 g of brain would hold {BLOOD_PER_SHARE * quality.brain_share:.0f} mL of blood: "
        "the voxels lie outside an artery, or the given curve is not dr2star in 1/s",
        field="aif",
    )


def aif_quality(
    curve: FloatArray, brain: FloatArray, step: float, arrival: float, voxels: int, first: float = 0.0
) -> AifQuality:
    """Judge an arterial `curve` against the mean curve of the `brain` (frame,) [1/s], `step` [s] apart.

    `arrival` of the bolus [s] and time of the `first` frame in the steady state, both from the first frame.
    """
    begin, end = round(first / step), max(round(arrival / step) - 1, 1)
    before = curve[begin:end]
    noise = 1.4826 * median(np.abs(before - median(before))) if before.size else 0.0
    peak = float(curve.max())
    return AifQuality(
        peak,
        peak / noise if noise > 0 else 0.0,
        _width(curve) * step,
        (_moment(brain) - _moment(curve)) * step,
        voxels,
        float(brain.sum() / curve.sum()),
    )


def _moment(curve: FloatArray) -> float:
    """Return the first moment [frames] of a curve where it exceeds a tenth of its peak."""
    weight = np.where(curve > 0.1 * curve.max(), curve, 0.0)
    return float((weight * np.arange(curve.size)).sum() / max(weight.sum(), 1e-30))


def _width(curve: FloatArray) -> float:
    """Return the width at half height around the peak [frames], between linear crossings."""
    top = int(curve.argmax())
    half = 0.5 * curve[top]
    before, after = np.flatnonzero(curve[:top] < half), np.flatnonzero(curve[top:] < half)
    left, right = 0.0, float(curve.size)
    if before.size:
        k = int(before[-1])
        left = k + (half - curve[k]) / (curve[k + 1] - curve[k])
    if after.size:
        k = top + int(after[0])
        right = k - (half - curve[k]) / (curve[k - 1] - curve[k])
    return float(right - left)

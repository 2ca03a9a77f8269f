"""Steady state, arrival of the bolus and baseline, from the mean signal of the mask.

The series starts out of the steady state: the first `settle` seconds are not used, nor the frames after them
that differ by 1 % or more from the median of the six frames that follow.

The bolus is the fall of the mean signal to its minimum. It has to be deeper than 1 % and than five robust
standard deviations of the frames, and to go from 20 % to 80 % of its depth within 20 s; a drift does not.
With r(t) = ln(S_before / S(t)), where S_before is the median of the frames before r reaches a tenth of its
peak, the bolus arrives at the first of three consecutive frames with r above both five robust standard
deviations of these frames and 2 % of the peak. The baseline ends one frame before.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.ops.order_statistics import median

FEWEST_BASELINE = 3
"""Fewest frames of a baseline."""
_SHALLOWEST = 0.01
_SLOWEST = 20.0
_MAD = 1.4826

FloatArray = npt.NDArray[np.float64]


class Timing(NamedTuple):
    """Frames of a series: `first` in the steady state, `baseline_end` (exclusive), `arrival` of the bolus."""

    first: int
    baseline_end: int
    arrival: int


def find_bolus(signal: npt.NDArray[Any], step: float, settle: float) -> Timing:
    """Return the timing of a mean signal (frame,) whose frames are `step` [s] apart.

    `settle` [s] is the time after which the signal counts as settled.

    Raises
    ------
    InputError
        If no bolus passes, if it arrives too early for a baseline of three frames, or if the mask has no
        signal.
    """
    curve = np.asarray(signal, dtype=np.float64)
    if not curve.min() > 0:
        raise InputError("the mean signal of the mask is 0 or negative in some frame", field="dynamic")
    first = _steady(curve, step, settle)
    lowest = int(curve.argmin())
    _check_bolus(curve, lowest)
    if lowest < first + FEWEST_BASELINE:
        raise InputError(
            f"the signal is lowest in frame {lowest + 1}, and {first} frames pass until it is steady: "
            "either the agent is there from the start, or no bolus passes; three frames of baseline are needed",
            field="dynamic",
        )
    change, before = _rise(curve, first, lowest)
    spread = _MAD * median(np.abs(change[first:before] - median(change[first:before])))
    above = change > max(5.0 * spread, 0.02 * change[lowest])
    runs = [k for k in range(first, lowest + 1) if above[k : k + 3].all()]
    arrival = runs[0] if runs else lowest
    _check_rise(change, lowest, step)
    baseline_end = max(arrival - 1, first)
    if baseline_end - first < FEWEST_BASELINE:
        raise InputError(
            f"the bolus arrives in frame {arrival + 1}, and {first} frames pass until the signal is steady: "
            f"{baseline_end - first} frames of baseline, at least {FEWEST_BASELINE} are needed",
            field="dynamic",
        )
    return Timing(first, baseline_end, arrival)


def _steady(curve: FloatArray, step: float, settle: float) -> int:
    """Return the first frame in the steady state."""
    first = math.ceil(settle / step - 1e-6)
    last = curve.size // 2
    for frame in range(min(first, last), last):
        typical = median(curve[frame : frame + 6])
        if abs(curve[frame] - typical) < _SHALLOWEST * typical:
            return frame
    return min(first, last)


def _check_bolus(curve: FloatArray, lowest: int) -> None:
    """Refuse a curve whose minimum is not below its noise."""
    typical = median(curve)
    noise = _MAD * median(np.abs(np.diff(curve))) / math.sqrt(2.0)
    depth = typical - float(curve[lowest])
    if depth < max(_SHALLOWEST * typical, 5.0 * noise):
        raise InputError(
            f"no bolus: the mean signal of the mask never falls more than {100 * depth / typical:.2g} % below "
            "its median; check that this is the series with contrast agent and that the mask lies on the brain",
            field="dynamic",
        )


def _rise(curve: FloatArray, first: int, lowest: int) -> tuple[FloatArray, int]:
    """Return ln(S_before / S), and the end (exclusive) of the frames before a tenth of its peak."""
    before = first + FEWEST_BASELINE
    change = np.log(median(curve[first:before]) / curve)
    for _ in range(3):
        low = np.flatnonzero(change[:lowest] < 0.1 * change[lowest])
        before = max(int(low[-1]) + 1 if low.size else 0, first + FEWEST_BASELINE)
        change = np.log(median(curve[first:before]) / curve)
    return change, before


def _check_rise(change: FloatArray, lowest: int, step: float) -> None:
    """Refuse a drift: a bolus goes from 20 % to 80 % of its peak within 20 s."""
    early = np.flatnonzero(change[:lowest] < 0.2 * change[lowest])
    late = np.flatnonzero(change[: lowest + 1] >= 0.8 * change[lowest])
    rise = (int(late[0]) - int(early[-1]) if early.size and late.size else 0) * step
    if rise > _SLOWEST:
        raise InputError(
            f"no bolus: the mean signal takes {rise:.0f} s to fall from 20 % to 80 % of its change: it drifts",
            field="dynamic",
        )

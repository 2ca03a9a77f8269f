"""Maps that every deconvolution shares: blood volume, transit time, time to peak, and their units.

With kH = (1 - Hct_artery) / (1 - Hct_capillary) and the density rho [g/mL], both in CBV and in CBF:

    CBV  = 100 (kH / rho) area(C) / area(AIF)        [mL/100 g]
    CBF  = 6000 (kH / rho) max f, f = F R(t) [1/s]   [mL/100 g/min]
    MTT  = 60 CBV / CBF                              [s]

C and AIF are dR2* curves [1/s], and a common relaxivity cancels. Areas are sums of samples over the whole
series, or over the first pass: from the bolus to the first minimum of the mask's mean curve after its peak.
Times are counted from the artery's: Tmax is the place of the maximum of f, refined by a parabola, and TTP the
time from the first frame to the peak of C, refined likewise. f is not clipped. MTT is 0 where CBF or CBV is
not positive and at most the series' length.

Reference: Fieselmann et al. 2011, 10.1155/2011/467563.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, array_module, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.bolus import BOLUS_FEATURES
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.io.in_parallel import in_parallel
from qsmengine.ops.order_statistics import median
from qsmengine.stages.params import Field, Params
from qsmengine.stages.perfusion.curves import Curves

INPUTS = ("dr2star", "mask", "frame_times", "aif")
OUTPUTS = {
    "cbv": "mL/100 g", "cbf": "mL/100 g/min", "mtt": "s", "tmax": "s", "ttp": "s", "residual": "1",
}  # fmt: skip
VESSEL = 3.0
"""Smallest area of large vessels, over the median of the mask."""
_SAMPLES = 1 << 22
"""Samples that are averaged at a time."""
FEATURES = ("area", "peak", "place", "centre", "width", "roughness")


class MapParams(Params):
    """Parameters that all deconvolutions share."""

    haematocrit_factor: float = Field(
        0.73, gt=0, le=2, description="kH = (1 - haematocrit of arteries) / (1 - haematocrit of capillaries)"
    )
    density: float = Field(1.04, gt=0, le=2, description="rho: density of tissue [g/mL]")
    cbv_window: Literal["whole", "first_pass"] = Field(
        "whole", description="frames over which the areas for CBV are taken: all, or those of the first pass"
    )

    @property
    def scale(self) -> float:
        """Factor kH / rho [mL/g]."""
        return self.haematocrit_factor / self.density


class Maps(NamedTuple):
    """Perfusion maps (x, y, z) float32, 0 outside the mask.

    ``cbv`` [mL/100 g], ``cbf`` [mL/100 g/min], ``mtt``, ``tmax``, ``ttp`` [s]; ``residual``, the part of each
    curve that AIF * f does not explain, root of sums of squares over that of the curve [1].
    """

    cbv: Array
    cbf: Array
    mtt: Array
    tmax: Array
    ttp: Array
    residual: Array


def checked_aif(aif: Array, frames: int) -> npt.NDArray[np.float64]:
    """Return the arterial curve (frame,) [1/s] in double precision on the host.

    Raises
    ------
    InputError
        For a curve of another length, values that are not finite, and an area that is not positive.
    """
    curve = np.asarray(to_numpy(aif), dtype=np.float64)
    if curve.shape != (frames,):
        raise InputError(f"the aif has shape {curve.shape}, the series has {frames} frames", field="aif")
    if not np.isfinite(curve).all():
        raise InputError("the aif holds values that are not finite", field="aif")
    if not curve.sum() > 0:
        raise InputError("the area of the aif is not positive: it shows no passage of an agent", field="aif")
    return curve


def features_of(curves: Curves, device: Device, first: int = 0, last: int | None = None) -> dict[str, Array]:
    """Return features (voxel,) of each curve on the frames `first` .. `last` - 1, in units of frames.

    ``area``, ``peak`` [1/s], ``place`` of the peak, first moment ``centre`` from `first`, ``width`` at half
    height, ``roughness`` = sum of squared second differences / area^2.
    """
    found = {name: device.empty((curves.voxels,)) for name in FEATURES}
    end = curves.frames if last is None else last
    launch(BOLUS_FEATURES, device, change=curves.planes.array, mask=curves.mask, **found, first=first, last=end)
    return found


def perfusion_maps(
    curves: Curves,
    aif: npt.NDArray[np.float64],
    height: Array,
    place: Array,
    missed: Array,
    params: MapParams,
    device: Device,
) -> Maps:
    """Return the maps from max f (`height`, `place`, both per frame) and the unexplained part `missed`."""
    xp, step = device.xp, curves.step
    features = features_of(curves, device)
    first, last = cbv_frames(curves, params.cbv_window)
    area = (
        features["area"]
        if (first, last) == (0, curves.frames)
        else features_of(curves, device, first, last)["area"]
    )
    cbv = area * np.float32(100.0 * params.scale / aif[first:last].sum())
    cbf = height * np.float32(6000.0 * params.scale)
    positive = (cbf > 0) & (cbv > 0)
    mtt = xp.where(positive, np.float32(60.0) * cbv / xp.where(positive, cbf, np.float32(1)), np.float32(0))
    mtt = xp.minimum(mtt, np.float32(curves.frames * step))
    ttp = features["place"] * np.float32(step)
    image = curves.planes.unflatten
    return Maps(*(image(m) for m in (cbv, cbf, mtt, place * np.float32(step), ttp, missed)))


def cbv_frames(curves: Curves, window: str) -> tuple[int, int]:
    """Return the frames (first, end) over which areas are taken.

    The first pass ends at the first minimum of the mean curve after its peak; without one it is the whole
    series.
    """
    if window == "whole":
        return 0, curves.frames
    mean = mean_curve(curves)
    peak = int(mean.argmax())
    rises = np.flatnonzero(np.diff(mean[peak:]) > 0)
    return 0, curves.frames if rises.size == 0 else peak + int(rises[0]) + 1


def mean_curve(curves: Curves, chosen: Array | None = None) -> npt.NDArray[np.float64]:
    """Return the mean curve (frame,) of the mask, or of the voxels `chosen` (voxel,) bool."""
    planes, xp = curves.planes.array, array_module(curves.planes.array)
    where = xp.flatnonzero(curves.mask if chosen is None else chosen)
    frames = max(_SAMPLES // max(int(where.size), 1), 1)

    def part(first: int) -> Array:
        mean: Array = planes[first : first + frames].take(where, axis=1).mean(axis=1, dtype=np.float64)
        return mean

    firsts = range(0, curves.frames, frames)
    parts = in_parallel(part, firsts) if xp is np else [part(first) for first in firsts]
    return to_numpy(xp.concatenate(parts))


def without_vessels(curves: Curves) -> Array:
    """Return the voxels (voxel,) bool of the mask up to three times the median area, all if that is not > 0."""
    inside, area = curves.mask != 0, areas_of(curves)
    middle = median(area[inside])
    usual: Array = inside & (area <= np.float32(VESSEL * middle)) if middle > 0 else inside
    return usual


def areas_of(curves: Curves) -> Array:
    """Return the sum of the samples of each curve (voxel,), 0 outside the mask."""
    total: Array = curves.planes.array.sum(axis=0)
    total *= curves.mask != 0
    return total

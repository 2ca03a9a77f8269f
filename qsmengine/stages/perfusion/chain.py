"""Results of a perfusion chain: arterial input function, maps, notes, and relative maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.stages.perfusion.quality import AifQuality
from qsmengine.stages.perfusion.transform import FloatArray

_FEW_BASELINE = 5


@dataclass(frozen=True)
class Aif:
    """Arterial input function.

    Parameters
    ----------
    times
        (frame,) [s] from the first frame.
    curve
        (frame,) dR2* [1/s].
    mask
        (x, y, z) bool, its voxels; None for a given curve.
    quality
        Figures by which to judge it.
    vof_scale
        Area of the venous curve over its own [1]; 1 without `vof`, and not applied below 1.
    """

    times: FloatArray
    curve: FloatArray
    mask: Array | None
    quality: AifQuality
    vof_scale: float = 1.0


@dataclass(frozen=True)
class DscResult:
    """Perfusion maps (x, y, z), 0 outside the mask.

    Parameters
    ----------
    cbv, cbf
        Cerebral blood volume [mL/100 g] and flow [mL/100 g/min].
    mtt, tmax, ttp
        Mean transit time, time of the residue function's maximum after the artery, time from the first frame
        to the peak of the curve [s].
    delay
        Arrival after the artery [s]; None for methods without a model, whose Tmax takes its place.
    k2
        Leakage [1/s], positive where T1 shortening lowers the curve; None without correction.
    quality
        Part of each curve that the model or AIF * f does not explain [1].
    errors
        Standard deviations by map, for methods with a model: ``cbf``, ``mtt``, ``delay``, ...
    relative
        ``cbv`` and ``cbf`` over their means in the reference region [1]; empty without one.
    aif
        Arterial input function.
    density
        Density of tissue [g/mL] that converts between mL/100 g and mL/100 mL.
    dr2star
        (x, y, z, frame) [1/s], after leakage correction.
    arrival, steady
        Time of the bolus and of the first frame in the steady state [s].
    notes
        Decisions, and reasons for caution.
    extra
        Further maps of the method.
    """

    cbv: Array
    cbf: Array
    mtt: Array
    tmax: Array
    ttp: Array
    delay: Array | None
    k2: Array | None
    quality: Array
    errors: Mapping[str, Array]
    relative: Mapping[str, Array]
    aif: Aif
    density: float
    dr2star: Array
    arrival: float
    steady: float
    notes: tuple[str, ...]
    extra: Mapping[str, Array] = field(default_factory=dict)

    @property
    def cbv_per_volume(self) -> Array:
        """CBV [mL/100 mL]: that in [mL/100 g] times the density."""
        return self.cbv * np.float32(self.density)

    @property
    def cbf_per_volume(self) -> Array:
        """CBF [mL/100 mL/min]: that in [mL/100 g/min] times the density."""
        return self.cbf * np.float32(self.density)


def chain_notes(contrast: Mapping[str, Any], artery: Aif) -> tuple[str, ...]:
    """Return reasons for caution, from the artery and what the stages found."""
    notes = list(artery.quality.problems)
    count = contrast["baseline_frames"]
    if count < _FEW_BASELINE:
        notes.append(f"only {count} frames of baseline: its mean and noise are uncertain")
    saturated = int((contrast["saturated"] > 0).sum())
    if saturated:
        notes.append(f"{saturated} voxels fall to the noise during the passage; their values are lower bounds")
    scale = artery.vof_scale
    if scale < 1.0:
        notes.append(f"vof: not applied, the venous curve has only {scale:.2f} times the arterial area")
    notes += shape_notes(contrast)
    return tuple(notes)


def shape_notes(facts: Mapping[str, Any]) -> list[str]:
    """Return what was assumed for the residue function, and how much the flow depends on it."""
    if "residue_shape" not in facts:
        return []
    lowest, highest = (float(facts[name]) for name in ("flow_lowest", "flow_highest"))
    if not lowest > 0:
        return ["too few voxels to estimate the shape of the residue function: an exponential is assumed"]
    shape, plateau = float(facts["residue_shape"]), float(facts["residue_plateau"])
    named = "exponential" if (shape, plateau) == (1.0, 0.0) else f"gamma of shape {shape:g}"
    after = f" after a plateau of {plateau:g} of the mean" if plateau else ""
    change = f"{100 * (lowest - 1):+.0f} to {100 * (highest - 1):+.0f} %"
    return [
        f"transit times of the brain: {named}{after}; others that fit as well change the mean flow by {change}"
    ]


def relative_maps(
    maps: Mapping[str, Array], region: Array | None, mask: Array, device: Device
) -> dict[str, Array]:
    """Return CBV and CBF over their means in the region.

    Raises
    ------
    InputError
        For a region without voxels in the mask, or whose mean is not positive.
    """
    if region is None:
        return {}
    if tuple(region.shape) != tuple(mask.shape):
        raise InputError(
            f"the region has shape {tuple(region.shape)}, its grid has {tuple(mask.shape)}", field="region"
        )
    inside = (device.asarray(region, bool)) & (device.asarray(mask, bool))
    if not bool(inside.any()):
        raise InputError("the reference region does not overlap the mask", field="region")
    relative = {}
    for name in ("cbv", "cbf"):
        mean = float(to_numpy(maps[name][inside].mean(dtype=np.float64)[np.newaxis])[0])
        if not mean > 0:
            raise InputError(f"the mean {name.upper()} of the reference region is {mean:g}", field="region")
        relative[name] = maps[name] / np.float32(mean)
    return relative

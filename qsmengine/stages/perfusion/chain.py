"""The perfusion chain: contrast, arterial input, leakage correction, deconvolution, relative maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params
from qsmengine.stages.perfusion.curves import curves_of
from qsmengine.stages.perfusion.maps import MapParams, checked_aif, mean_curve
from qsmengine.stages.perfusion.quality import AifQuality, aif_quality
from qsmengine.stages.perfusion.transform import FloatArray

_FEW_BASELINE = 5
Chosen = tuple[Method, Params]


@dataclass(frozen=True)
class DscMethods:
    """Methods of a chain with their parameters.

    Parameters
    ----------
    contrast
        ``single_echo`` or ``dual_echo``.
    aif
        Method of the AIF; None if a curve is given.
    leakage
        None: no correction.
    deconvolution
        Any method of the stage.
    """

    contrast: Chosen
    aif: Chosen | None
    leakage: Chosen | None
    deconvolution: tuple[Method, MapParams]


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


def run_chain(
    signals: tuple[Array, ...],
    mask: Array,
    echo_times: tuple[float, ...],
    repetition_time: float,
    grid: Grid,
    methods: DscMethods,
    *,
    aif: Array | None = None,
    aif_mask: Array | None = None,
    region: Array | None = None,
    device: Device,
) -> DscResult:
    """Run a perfusion chain on one or two echoes `signals` (x, y, z, frame), any unit, inside `mask` (x, y, z).

    `echo_times` (echo,) [s], `repetition_time` between frames [s]; `aif` (frame,) [1/s] and `aif_mask` (x, y,
    z) replace the automatic choice, `region` (x, y, z) is the reference of the relative maps.

    Raises
    ------
    InputError
        For inputs that do not match, and series that no perfusion can be computed from (see the stages).
    """
    times = tuple(repetition_time * k for k in range(signals[0].shape[3])) if signals[0].ndim == 4 else ()
    common = {"mask": mask, "frame_times": times}
    contrast = _contrast(signals, echo_times, common, grid, methods.contrast, device)
    artery = _artery(contrast, common, grid, methods.aif, aif, aif_mask, device)
    curves, k2, notes = contrast["dr2star"], None, chain_notes(contrast, artery)
    if methods.leakage is not None:
        method, params = methods.leakage
        inputs = {"dr2star": curves, "dr2star_sd": contrast["dr2star_sd"], **common}
        corrected = method(inputs, grid, params, device=device)
        curves, k2 = corrected["corrected"], corrected["k2"]
    deconvolve, params = methods.deconvolution
    maps = deconvolve({"dr2star": curves, "aif": artery.curve, **common}, grid, params, device=device)
    names = {"cbv", "cbf", "mtt", "tmax", "ttp", "delay", "residual"}
    errors = {name.removesuffix("_sd"): image for name, image in maps.items() if name.endswith("_sd")}
    return DscResult(
        **{name: maps[name] for name in ("cbv", "cbf", "mtt", "tmax", "ttp")},
        delay=maps.get("delay"),
        k2=k2,
        quality=maps["residual"],
        errors=errors,
        relative=relative_maps(maps, region, mask, device),
        aif=artery,
        density=params.density,
        dr2star=curves,
        arrival=contrast["arrival"],
        steady=contrast["steady"],
        notes=notes,
        extra={name: image for name, image in maps.items() if name not in names and not name.endswith("_sd")},
    )


def _contrast(
    signals: tuple[Array, ...],
    echo_times: tuple[float, ...],
    common: Mapping[str, Any],
    grid: Grid,
    chosen: Chosen,
    device: Device,
) -> dict[str, Any]:
    if len(signals) != len(echo_times) or len(signals) not in {1, 2}:
        raise InputError(
            f"{len(signals)} echoes, {len(echo_times)} echo times; one or two are used", field="EchoTime"
        )
    inputs = {"dynamic": signals[0], "echo_time": echo_times[0], **common}
    if len(signals) == 2:
        inputs |= {"second_dynamic": signals[1], "second_echo_time": echo_times[1]}
    method, params = chosen
    return method(inputs, grid, params, device=device)


def _artery(
    contrast: Mapping[str, Any],
    common: Mapping[str, Any],
    grid: Grid,
    chosen: Chosen | None,
    given: Array | None,
    given_mask: Array | None,
    device: Device,
) -> Aif:
    mask: Array | None = None
    scale = 1.0
    curves = curves_of(contrast["dr2star"], common["mask"], common["frame_times"], grid, device)
    if chosen is None:
        if given is None:
            raise InputError("neither a method nor a curve of the AIF is given", field="aif")
        curve = checked_aif(given, curves.frames)
    else:
        method, params = chosen
        names = {name.rstrip("?") for name in method.inputs}
        inputs = {n: v for n, v in {**contrast, **common, "aif_mask": given_mask}.items() if n in names}
        found = method(inputs, grid, params, device=device)
        curve, mask = checked_aif(found["aif"], curves.frames), found["aif_mask"]
        scale = float(found["vof_scale"])
    voxels = 0 if mask is None else int(mask.sum())
    quality = aif_quality(
        curve, mean_curve(curves), curves.step, contrast["arrival"], voxels, contrast["steady"]
    )
    return Aif(np.asarray(common["frame_times"]), curve, mask, quality, scale)


def chain_notes(contrast: Mapping[str, Any], artery: Aif) -> tuple[str, ...]:
    """Return reasons for caution, from the artery and what the stage ``contrast`` found."""
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
    return tuple(notes)


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

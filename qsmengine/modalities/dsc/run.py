"""Perfusion in memory: a bolus series in, maps out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from qsmengine.backend.cuda_errors import memory_errors
from qsmengine.backend.device import Device, on_device, to_numpy
from qsmengine.data import Array, DscSeries
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray
from qsmengine.modalities.dsc.series import SECOND
from qsmengine.modalities.dsc.stages import plan_dsc
from qsmengine.modalities.dsc.territories import LocalArtery, with_local_arteries
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.execute import check_shape, checked_mask, run_plan
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.mask.unweighted import unweighted_mask
from qsmengine.stages.perfusion.chain import Aif, chain_notes, relative_maps
from qsmengine.stages.perfusion.curves import curves_of
from qsmengine.stages.perfusion.maps import mean_curve
from qsmengine.stages.perfusion.quality import AifQuality, aif_quality, check_aif_quality

SETTLED = 5.0
"""Time after which the signal of a series is steady [s]."""
MASK_FRAMES = 5
"""Number of frames from then on in whose median the brain is found."""


class PerfusionMaps(RunResult):
    """Maps of a bolus series: ``cbv`` [mL/100 g], ``cbf`` [mL/100 g/min], ``mtt``, ``tmax``, ``ttp`` [s], ...

    `facts` holds ``arrival`` and ``steady`` [s], and ``artery``.
    """

    @property
    def artery(self) -> Aif:
        """Arterial input function."""
        artery: Aif = self.facts["artery"]
        return artery

    @property
    def aif(self) -> FloatArray:
        """Arterial curve (frame,) [1/s]."""
        return self.artery.curve

    @property
    def aif_quality(self) -> AifQuality:
        """Figures by which to judge the arterial curve."""
        return self.artery.quality


def roles_of(
    series: DscSeries, aif: FloatArray | None, aif_mask: Array | None, region: Array | None
) -> frozenset[str]:
    """Return the roles of the optional inputs, for :func:`qsmengine.modalities.dsc.stages.plan_dsc`."""
    given = {"aif": aif, "aif_mask": aif_mask, "region": region}
    two = {SECOND} if len(series.signals) > 1 else set()
    return frozenset(two | {name for name, value in given.items() if value is not None})


@on_device
def run_dsc(
    series: DscSeries,
    config: Config,
    device: Device,
    *,
    mask: Array,
    aif: FloatArray | None = None,
    aif_mask: Array | None = None,
    region: Array | None = None,
    territories: Array | None = None,
    plan: Plan | None = None,
    progress: ProgressCallback | None = None,
) -> PerfusionMaps:
    """Compute perfusion maps from a bolus series.

    Parameters
    ----------
    series
        Signals (x, y, z, frame) of one or two echoes, with their times.
    config
        Methods and parameters.
    device
        Compute device.
    mask
        (x, y, z) brain mask, see :func:`brain_mask`.
    aif
        Arterial curve (frame,) [1/s]; None: chosen in the series.
    aif_mask
        (x, y, z) voxels of an artery; None: chosen automatically.
    region
        (x, y, z) reference of the relative maps.
    territories
        (x, y, z) labels of regions, each deconvolved by an artery in it; None: one artery.
    plan
        Plan from :func:`qsmengine.modalities.dsc.stages.plan_dsc` for the same inputs; made here when None.
    progress
        Called before and after each step.

    Raises
    ------
    InputError
        For images of another shape, an empty mask, and series from which no perfusion can be computed: no
        bolus, no baseline, saturation, no artery.
    DeviceError
        Before any computation, if the estimate of a step exceeds the available memory.
    """
    grid = series.grid
    plan = plan or plan_dsc(config, grid, series.n_frames, roles_of(series, aif, aif_mask, region))
    check_memory(plan, device)
    state: dict[str, Any] = {
        "brain_mask": device.asarray(checked_mask(mask, grid), bool),
        "frame_times": tuple(series.times.tolist()),
        "echo_time": series.echo_times[0],
    }
    if aif is not None:
        state["aif"] = aif
    if aif_mask is not None:
        check_shape("the AIF mask", aif_mask, grid)
        state["aif_mask"] = device.asarray(aif_mask, bool)
    with memory_errors("the series", device):
        state["dynamic"] = series.signals[0]
        if len(series.signals) > 1:
            state |= {"second_dynamic": series.signals[1], "second_echo_time": series.echo_times[1]}
    found = run_plan(plan, state, grid, device, progress, kind=PerfusionMaps)
    if territories is not None:
        whole = np.asarray(to_numpy(found.facts["aif"] if aif is None else aif), dtype=np.float64)
        found, local = with_local_arteries(found, series, whole, territories, device)
        found = replace(found, facts={**found.facts, "local_arteries": local})
    return _completed(found, series, aif, region, device)


def _completed(
    found: PerfusionMaps, series: DscSeries, given: FloatArray | None, region: Array | None, device: Device
) -> PerfusionMaps:
    """Return the maps with times corrected for the slices, relative maps, and the quality of the AIF."""
    maps = dict(found.maps)
    artery = _artery(found, series, given, device)
    maps |= _slice_corrected(maps, series, found.facts.get("local_arteries", {}), device)
    relative = relative_maps(maps, region, maps["brain_mask"], device)
    maps |= {f"relative_{name}": image for name, image in relative.items()}
    units = {**found.units, **{f"relative_{name}": "1" for name in relative}}
    facts = {**found.facts, "artery": artery}
    notes = (*found.notes, *chain_notes({**found.facts, **maps}, artery))
    return replace(found, maps=maps, units=units, facts=facts, notes=notes)


def _artery(found: PerfusionMaps, series: DscSeries, given: FloatArray | None, device: Device) -> Aif:
    times = tuple(series.times.tolist())
    curves = curves_of(found["dr2star"], found["brain_mask"], times, series.grid, device)
    curve = np.asarray(to_numpy(found.facts["aif"] if given is None else given), dtype=np.float64)
    mask = found.maps.get("aif_mask") if given is None else None
    voxels = 0 if mask is None else int(mask.sum())
    arrival, steady = (float(found.facts[name]) for name in ("arrival", "steady"))
    quality = aif_quality(curve, mean_curve(curves), series.repetition_time, arrival, voxels, steady)
    check_aif_quality(quality)
    scale = float(found.facts.get("vof_scale", 1.0))
    return Aif(series.times, curve, mask, quality, scale)


def _slice_corrected(
    maps: dict[str, Array], series: DscSeries, local: Mapping[int, LocalArtery], device: Device
) -> dict[str, Array]:
    """Add the times of the slices to TTP, and those relative to the artery's slices to Tmax and delay."""
    if series.slice_times is None or not series.slice_times.any():
        return {}
    offset = device.asarray(series.slice_times, np.float32)[None, None, :]
    inside = maps["brain_mask"]
    artery = device.xp.zeros(inside.shape, np.float32)
    if "aif_mask" in maps:
        artery += np.float32(_slice_time(to_numpy(maps["aif_mask"]), series.slice_times))
    for own in local.values():
        artery[device.asarray(own.territory, bool)] = np.float32(_slice_time(own.voxels, series.slice_times))
    shifts = {"ttp": np.float32(0.0), "tmax": artery, "delay": artery}
    return {name: maps[name] + (offset - shift) * inside for name, shift in shifts.items() if name in maps}


def _slice_time(voxels: Array, slice_times: FloatArray) -> float:
    """Return the mean time of the slices of `voxels` (x, y, z) [s]."""
    share = voxels.sum(axis=(0, 1), dtype=np.float64)
    return float((share * slice_times).sum() / share.sum())


@on_device
def brain_mask(series: DscSeries, device: Device) -> tuple[Array, str]:
    """Return the brain (x, y, z) in the steady state before the bolus, and a note.

    It is found in the median of the first frames after the signal has settled (5 s), at the first echo.

    Raises
    ------
    InputError
        If no plausible brain is found.
    """
    first = min(int(np.ceil(SETTLED / series.repetition_time)), series.n_frames - MASK_FRAMES)
    frames = series.signals[0][..., first : first + MASK_FRAMES]
    mask, reason = unweighted_mask(device.xp.median(device.asarray(frames), axis=3), series.grid, device)
    if mask is None:
        raise InputError(f"no plausible brain mask found: {reason}; give a brain mask", field="mask")
    part, last = 100 * float(mask.mean(dtype=np.float64)), first + MASK_FRAMES
    return (
        mask,
        f"no mask given: brain mask from frames {first + 1} to {last} ({part:.0f} % of the image)",
    )

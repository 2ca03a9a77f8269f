"""Diffusion fit in memory: a series in, maps out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, on_device
from qsmengine.data import B0_THRESHOLD, Array, DwiSeries
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.io.gradients import LARGE_B_VALUE
from qsmengine.modalities.dwi.stages import plan_dti
from qsmengine.modalities.dwi.volumes import b0_limit, fit_parameters
from qsmengine.modalities.plausible import check_diffusivity, diffusivity_notes
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.execute import checked_mask, run_plan
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.diffusion.orders import colour_fa
from qsmengine.stages.diffusion.planes import volume_median
from qsmengine.stages.mask.unweighted import unweighted_mask


class TensorMaps(RunResult):
    """Maps of a tensor fit, named after the method's outputs (``fa``, ``md``, ``v1``, ...)."""


@on_device
def run_dti(
    series: DwiSeries,
    config: Config,
    device: Device,
    *,
    mask: Array | None = None,
    gradient_deviation: Array | None = None,
    plan: Plan | None = None,
    progress: ProgressCallback | None = None,
) -> TensorMaps:
    """Fit a diffusion tensor to a series.

    Without `mask`, the fit covers the voxels of a computed brain mask with signal in all b = 0 volumes. With
    ``diffusion.mask=none``, or if the brain mask is implausible, it covers every voxel with signal in them. The
    map ``brain_mask`` marks the fitted voxels. `gradient_deviation` (x, y, z, 9) is L of
    :func:`qsmengine.stages.diffusion.fitting.correct_deviation`. Parameters and errors as in
    :func:`qsmengine.modalities.gre.run.run_qsm`.
    """
    limit = b0_limit(config)
    if limit is not None:
        series = replace(series, b0_threshold=limit)
    b0 = series.b0_volumes
    if not b0.any():
        raise InputError(
            f"no volume counts as b = 0: none has b <= {series.b0_threshold or B0_THRESHOLD:g} s/mm^2, and no "
            "shell lies below another; diffusion.b0_threshold sets the limit",
            field="bval",
        )
    if b0.all():
        raise InputError(
            "every volume counts as b = 0: nothing is diffusion-weighted; the largest value is "
            f"{float(series.b_values.max()):g}, and b-values are in s/mm^2{_other_unit(series.b_values)}",
            field="bval",
        )
    has_deviation = gradient_deviation is not None
    plan = plan or plan_dti(config, series.grid, len(series.b_values), has_deviation=has_deviation)
    check_memory(plan, device)
    notes: tuple[str, ...] = ()
    if mask is None:
        mask, notes = _own_mask(series, config, device)
    inside = checked_mask(mask, series.grid)
    state: dict[str, Any] = {
        "signal": series.signal,
        "mask": device.asarray(inside, bool),
        "b_values": series.b_values,
        "b_vectors": series.b_vectors,
    }
    if gradient_deviation is not None:
        state["gradient_deviation"] = gradient_deviation
    found = run_plan(plan, state, series.grid, device, progress, kind=TensorMaps)
    check_diffusivity(found["md"], found["status"])
    odd = diffusivity_notes(found["md"], found["status"])
    made = {"colour_fa": colour_fa(found["v1"], found["fa"]), "brain_mask": state["mask"]}
    units = {**found.units, **dict.fromkeys(made, "1")}
    return replace(found, maps={**found.maps, **made}, units=units, notes=(*found.notes, *notes, *odd))


def _own_mask(series: DwiSeries, config: Config, device: Device) -> tuple[Array, tuple[str, ...]]:
    """Return the voxels to fit in a series without a mask, and notes on the choice."""
    image, positive = unweighted_image(series, device)
    if fit_parameters(config)[1].mask != "brain":
        return positive, ()
    brain, note = brain_mask(image, series.grid, device)
    return positive if brain is None else positive & brain, (note,)


def unweighted_image(series: DwiSeries, device: Device) -> tuple[Array, Array]:
    """Return the median of the volumes that count as b = 0, and where all of them are positive.

    Float32 and bool (x, y, z), as returned by :func:`qsmengine.stages.diffusion.planes.volume_median`.
    """
    return volume_median(series, np.flatnonzero(series.b0_volumes), device)


def brain_mask(image: Array, grid: Grid, device: Device) -> tuple[Array | None, str]:
    """Return the brain mask of an unweighted image, None if implausible, and a note on the choice."""
    mask, reason = unweighted_mask(image, grid, device)
    if mask is None:
        return (
            None,
            f"no mask given, and no plausible brain mask found: {reason}; every voxel with signal is fitted",
        )
    part = 100 * float(mask.mean(dtype=np.float64))
    return mask, (
        f"no mask given: fitted in a brain mask from the median unweighted image ({part:.0f} % of the image); "
        "diffusion.mask=none fits every voxel with signal"
    )


def _other_unit(b_values: FloatArray) -> str:
    """Suggest a unit in which b-values that are all near 0 would be typical; empty if there is none."""
    largest = float(b_values.max())
    for unit, factor in (("ms/um^2", 1e3), ("s/um^2", 1e6)):
        if 100 <= largest * factor <= LARGE_B_VALUE:
            return f"; if they are in {unit}, multiply them by {factor:g}"
    return ""

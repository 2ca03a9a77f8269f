"""A diffusion fit in memory: a series in, maps out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, array_module, on_device
from qsmengine.data import B0_THRESHOLD, Array, DwiSeries
from qsmengine.errors import InputError
from qsmengine.modalities.dwi.stages import plan_dti
from qsmengine.pipeline.configuration.config import Config
from qsmengine.pipeline.run.execute import checked_mask, run_plan
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.diffusion.orders import colour_fa


class TensorMaps(RunResult):
    """Maps of a tensor fit under the names of the method's outputs (``fa``, ``md``, ``v1``, ...)."""


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

    Without `mask` every voxel with signal in all volumes that count as b = 0 is fitted. `gradient_deviation`
    (x, y, z, 9) holds L of :func:`qsmengine.stages.diffusion.fitting.correct_deviation`. Parameters and errors
    as in :func:`qsmengine.modalities.gre.run.run_qsm`.
    """
    if config.b0_threshold is not None:
        series = replace(series, b0_threshold=config.b0_threshold)
    b0 = series.b0_volumes
    if not b0.any():
        raise InputError(
            f"no volume counts as b = 0: none has b <= {series.b0_threshold or B0_THRESHOLD:g} s/mm^2, and no "
            "shell lies below another; diffusion.b0_threshold sets the limit",
            field="bval",
        )
    if b0.all():
        raise InputError("every volume counts as b = 0: nothing is diffusion-weighted", field="bval")
    has_deviation = gradient_deviation is not None
    plan = plan or plan_dti(config, series.grid, len(series.b_values), has_deviation=has_deviation)
    check_memory(plan, device)
    if mask is None:
        xp = array_module(series.signal)
        positive: Array = xp.all(series.signal[..., xp.asarray(np.flatnonzero(b0))] > 0, axis=3)
        mask = positive
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
    maps = {**found.maps, "colour_fa": colour_fa(found["v1"], found["fa"])}
    return replace(found, maps=maps, units={**found.units, "colour_fa": "1"})

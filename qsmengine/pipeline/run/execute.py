"""Running a plan in memory: a series in, maps out."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from qsmengine.backend.cuda_errors import memory_errors
from qsmengine.backend.device import Device, array_module, on_device
from qsmengine.data import B0_THRESHOLD, Array, DwiSeries, GreSeries
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.pipeline.configuration.config import Config
from qsmengine.pipeline.run.plan import Plan, Step, check_memory, plan_dti, plan_qsm
from qsmengine.pipeline.run.progress import Progress, ProgressCallback
from qsmengine.pipeline.run.results import QsmResult, Record, TensorMaps
from qsmengine.solvers.status import SolverStatus
from qsmengine.stages.diffusion.orders import colour_fa
from qsmengine.stages.noise import field_weight
from qsmengine.stages.uncertainty.monte_carlo import ChainStep


@on_device
def run_qsm(
    series: GreSeries,
    config: Config,
    device: Device,
    *,
    mask: Array | None = None,
    labels: Array | None = None,
    r2: Array | None = None,
    progress: ProgressCallback | None = None,
) -> QsmResult:
    """Reconstruct susceptibility from a gradient-echo series.

    Order: mask, offset of the echo phases, unwrapping, field fit, its reliable voxels, background removal,
    inversion (weighted by 1 / noise of the field), relaxometry, reference; where the configuration names them,
    denoising before all else, and at the end standard deviation of chi, susceptibility-weighted image, para-
    and diamagnetic part.

    Parameters
    ----------
    series
        Magnitude and wrapped phase (x, y, z, echo) with echo times [s] and a grid with field strength.
    config
        Methods and parameters, see :func:`qsmengine.pipeline.configuration.config.load_config`.
    device
        Where it runs.
    mask
        (x, y, z) brain mask; computed when None.
    labels
        (x, y, z) label image for a reference region.
    r2
        (x, y, z) map of R2 [1/s] for the separation of chi.
    progress
        Told before and after each step and while solvers iterate.

    Raises
    ------
    InputError
        For a mask, labels or R2 of another shape, an empty mask, a missing field strength.
    UsageError
        For a method that needs what neither the inputs nor an earlier step gives.
    DeviceError
        Before any work, where a step's estimate exceeds the memory at hand.
    """
    grid = series.grid
    _ = grid.required_field_strength
    state: dict[str, Any] = {"echo_times": series.echo_times}
    if series.unknown is not None:
        state["unknown"] = device.asarray(series.unknown, bool)
    if mask is not None:
        state["brain_mask"] = _known(device.asarray(_checked_mask(mask, grid), bool), state)
    if labels is not None:
        _check_shape("labels", labels, grid)
        state["labels"] = device.asarray(labels, np.int32)
    if r2 is not None:
        _check_shape("r2", r2, grid)
        state["r2"] = device.asarray(r2)
    plan = plan_qsm(
        config, grid, series.n_echoes,
        has_mask=mask is not None, has_labels=labels is not None, has_r2=r2 is not None,
    )  # fmt: skip
    check_memory(plan, device)
    with memory_errors("the images", device):
        state["magnitude"] = device.asarray(series.magnitude)
        state["phase"] = device.asarray(series.phase)
    return run_plan(plan, state, grid, device, progress)


@on_device
def run_dti(
    series: DwiSeries,
    config: Config,
    device: Device,
    *,
    mask: Array | None = None,
    gradient_deviation: Array | None = None,
    progress: ProgressCallback | None = None,
) -> TensorMaps:
    """Fit a diffusion tensor to a series.

    Without `mask` every voxel with signal in all volumes that count as b = 0 is fitted. `gradient_deviation`
    (x, y, z, 9) holds L of :func:`qsmengine.stages.diffusion.fitting.correct_deviation`. Parameters and errors
    as in :func:`run_qsm`.
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
    plan = plan_dti(config, series.grid, len(series.b_values), has_deviation=has_deviation)
    check_memory(plan, device)
    if mask is None:
        xp = array_module(series.signal)
        positive: Array = xp.all(series.signal[..., xp.asarray(np.flatnonzero(b0))] > 0, axis=3)
        mask = positive
    inside = _checked_mask(mask, series.grid)
    state: dict[str, Any] = {
        "signal": series.signal,
        "mask": device.asarray(inside, bool),
        "b_values": series.b_values,
        "b_vectors": series.b_vectors,
    }
    if gradient_deviation is not None:
        state["gradient_deviation"] = gradient_deviation
    found = _run(plan, state, series.grid, device, progress)
    found["maps"]["colour_fa"] = colour_fa(found["maps"]["v1"], found["maps"]["fa"])
    found["units"]["colour_fa"] = "1"
    return TensorMaps(**found)


@on_device
def run_plan(
    plan: Plan, state: dict[str, Any], grid: Grid, device: Device, progress: ProgressCallback | None = None
) -> QsmResult:
    """Run the steps of a plan on the arrays of `state`, which live on `device` under the plan's names."""
    return QsmResult(**_run(plan, state, grid, device, progress))


def _run(
    plan: Plan, state: dict[str, Any], grid: Grid, device: Device, progress: ProgressCallback | None
) -> dict[str, Any]:
    """Run the steps on `state` (which they extend); arguments of a RunResult."""
    given = set(state)
    units: dict[str, str] = {}
    facts: dict[str, Any] = {}
    records = []
    for index, step in enumerate(plan.steps, start=1):
        if "weight" in step.inputs and "noise" in state:
            state["weight"] = field_weight(state["noise"], state[step.inputs.get("mask", "local_mask")])
        now = Progress(step.title, index, len(plan.steps))
        record, results = _run_step(step, state, grid, device, now, progress)
        records.append(record)
        for name, value in results.items():
            unit = step.method.outputs[name]
            if getattr(value, "ndim", 0) >= 3:
                state[step.outputs[name]] = value
                units[step.outputs[name]] = unit
            else:
                facts[name] = value
        for name in (n for n in step.outputs.values() if n.endswith("mask")):
            state[name] = _known(state[name], state)
            _check_not_empty(state[name], step)
    maps = {name: array for name, array in state.items() if name in units or name == "brain_mask"}
    if "brain_mask" in given:
        units["brain_mask"] = "1"
    return {
        "maps": maps,
        "units": units,
        "grid": grid,
        "records": tuple(records),
        "facts": facts,
        "notes": plan.notes,
    }


def _run_step(
    step: Step,
    state: Mapping[str, Any],
    grid: Grid,
    device: Device,
    now: Progress,
    progress: ProgressCallback | None,
) -> tuple[Record, dict[str, Any]]:
    status: list[SolverStatus] = []
    limit = getattr(step.params, "iterations", None)

    def listen(solver: SolverStatus) -> bool:
        status.append(solver)
        if progress is not None and limit:
            progress(Progress(now.title, now.index, now.total, min(1.0, solver.iteration / limit)))
        return True

    if progress is not None:
        progress(now)
    start = time.perf_counter()
    inputs = {argument: state[name] for argument, name in step.inputs.items() if name in state}
    taken = inspect.signature(step.method.run).parameters
    options: dict[str, Any] = {"callback": listen} if "callback" in taken else {}
    if step.chain:
        options["chain"] = tuple(_chain_step(earlier, state) for earlier in step.chain)
    results = step.method(inputs, grid, step.params, device=device, **options)
    device.synchronize()
    seconds = time.perf_counter() - start
    if progress is not None:
        progress(Progress(now.title, now.index, now.total, 1.0, seconds))
    return Record(step, seconds, status[-1] if status else None), results


def _chain_step(step: Step, state: Mapping[str, Any]) -> ChainStep:
    """A step to be run again on other fields: its inputs beside field, weight and mask as they were."""
    changing = {"total_field", "local_field", "weight", "mask"}
    kept = {a: state[name] for a, name in step.inputs.items() if a not in changing and name in state}
    return ChainStep(step.method, step.params, kept)


def _checked_mask(mask: Array, grid: Grid) -> Array:
    _check_shape("mask", mask, grid)
    if not bool((mask != 0).any()):
        raise InputError("empty mask", field="mask")
    return mask


def _check_shape(name: str, array: Array, grid: Grid) -> None:
    if tuple(array.shape) != grid.shape:
        raise InputError(f"{name} has shape {tuple(array.shape)}, the image has {grid.shape}", field="shape")


def _known(mask: Array, state: Mapping[str, Any]) -> Array:
    """The mask without voxels that have no usable values."""
    unknown = state.get("unknown")
    if unknown is None:
        return mask
    known: Array = mask & ~unknown
    return known


def _check_not_empty(mask: Array, step: Step) -> None:
    if not bool(mask.any()):
        raise InputError(
            f"{step.title} left an empty mask: too little signal, or a region too small for its parameters",
            field="mask",
        )

"""Gradient-echo reconstruction in memory: a series in, maps out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from qsmengine.backend.cuda_errors import memory_errors
from qsmengine.backend.device import Device, on_device
from qsmengine.data import Array, GreSeries
from qsmengine.grid import Grid
from qsmengine.modalities.gre.echo_phases import check_phases
from qsmengine.modalities.gre.stages import plan_qsm
from qsmengine.modalities.plausible import check_decay, check_exchanged
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.execute import check_shape, checked_mask, known_part, run_plan
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.echoes import echo_first, echo_last
from qsmengine.stages.object_size import sized_grid

OWN_SCALES = "; if every echo was scaled separately, set input.brighter_later=true, and do not use R2*"
"""Advice on magnitudes that grow with the echo time."""


class QsmResult(RunResult):
    """Maps of a QSM run.

    `maps` holds ``chi`` [ppm], ``local_field``, ``total_field`` and ``noise`` [ppm], ``r2star`` [1/s],
    ``t2star`` [s], ``s0``, ``quality``, and the masks ``brain_mask`` and ``local_mask`` (where the local field
    and chi are defined). Relaxometry needs two echoes or more. If configured, `maps` also holds
    ``chi_sd`` [ppm], ``swi``, ``minip``, ``chi_positive``, ``chi_negative``, ``chi_total`` [ppm].
    """

    @property
    def chi(self) -> Array:
        """Susceptibility (x, y, z) [ppm] after referencing."""
        return self.maps["chi"]

    @property
    def local_field(self) -> Array:
        """Local field (x, y, z) [ppm]."""
        return self.maps["local_field"]

    @property
    def total_field(self) -> Array:
        """Total field (x, y, z) [ppm]."""
        return self.maps["total_field"]

    @property
    def mask(self) -> Array:
        """Voxels (x, y, z) where chi is defined."""
        return self.maps["local_mask"]


@on_device
def run_qsm(
    series: GreSeries,
    config: Config,
    device: Device,
    *,
    mask: Array | None = None,
    labels: Array | None = None,
    r2: Array | None = None,
    plan: Plan | None = None,
    progress: ProgressCallback | None = None,
) -> QsmResult:
    """Reconstruct susceptibility from a gradient-echo series.

    Order: mask, phase offset, unwrapping, field fit, selection of reliable voxels, background removal,
    inversion (weighted by 1 / noise of the field), relaxometry, reference. If configured, denoising comes
    first, and the standard deviation of chi, the susceptibility-weighted image and chi separation come last.

    Parameters
    ----------
    series
        Magnitude and wrapped phase (x, y, z, echo) with echo times [s] and a grid with field strength.
    config
        Methods and parameters, see :func:`qsmengine.pipeline.configuration.config.load_config`.
    device
        Compute device.
    mask
        (x, y, z) brain mask; computed when None.
    labels
        (x, y, z) label image for a reference region.
    r2
        (x, y, z) map of R2 [1/s] for the separation of chi.
    plan
        Plan from :func:`qsmengine.modalities.gre.stages.plan_qsm` for the same inputs; made here when None.
    progress
        Called before and after each step and during the iterations of solvers.

    Raises
    ------
    InputError
        For a mask, labels or R2 of another shape, an empty mask, a missing field strength, magnitudes that grow
        with the echo time, and echoes whose phases do not belong together.
    UsageError
        If neither the inputs nor an earlier step provides an array that a method needs.
    DeviceError
        Before any computation, if the estimate of a step exceeds the available memory.
    """
    _ = series.grid.required_field_strength
    grid = object_grid(series, config, device, mask=mask)
    plan = plan or plan_qsm(
        config, grid, series.n_echoes,
        has_mask=mask is not None, has_labels=labels is not None, has_r2=r2 is not None,
    )  # fmt: skip
    check_memory(plan, device)
    state = arrays_of(replace(series, grid=grid), device, mask=mask, labels=labels, r2=r2)
    found = reconstruct(state, plan, grid, device, progress)
    if not config.input.brighter_later:
        check_echoes(series, found["brain_mask"])
    return found


def arrays_of(
    series: GreSeries,
    device: Device,
    *,
    mask: Array | None = None,
    labels: Array | None = None,
    r2: Array | None = None,
) -> dict[str, Any]:
    """Return the checked inputs of a series by name; arguments and errors are those of :func:`run_qsm`."""
    grid = series.grid
    state: dict[str, Any] = {"echo_times": series.echo_times}
    if series.unknown is not None:
        state["unknown"] = device.asarray(series.unknown, bool)
    if mask is not None:
        state["brain_mask"] = known_part(device.asarray(checked_mask(mask, grid), bool), state)
    if labels is not None:
        check_shape("labels", labels, grid)
        state["labels"] = device.asarray(labels, np.int32)
    if r2 is not None:
        check_shape("r2", r2, grid)
        state["r2"] = device.asarray(r2)
    check_phases(series.magnitude, series.phase, series.echo_times)
    with memory_errors("the images", device):
        state["magnitude"] = echo_last(echo_first(series.magnitude, device))
        state["phase"] = echo_last(echo_first(series.phase, device))
    return state


@on_device
def reconstruct(
    state: dict[str, Any],
    plan: Plan,
    grid: Grid,
    device: Device,
    progress: ProgressCallback | None = None,
    *,
    passing: Collection[str] = (),
    boxed: Collection[str] = (),
) -> QsmResult:
    """Run a plan on the inputs from :func:`arrays_of`; `state` is empty afterwards.

    `passing` and `boxed` are those of :func:`qsmengine.pipeline.run.execute.run_plan`: the memory of arrays
    that nobody else holds is free for the steps that follow.
    """
    return run_plan(
        plan, {name: state.pop(name) for name in list(state)}, grid, device, progress,
        kind=QsmResult, passing=passing, boxed=boxed,
    )  # fmt: skip


def check_echoes(series: GreSeries, brain: Array) -> None:
    """Raise InputError for magnitudes that grow with the echo time in the brain (x, y, z)."""
    check_decay(series.magnitude, brain, range(series.n_echoes), series.echo_times, OWN_SCALES)
    check_exchanged(series.magnitude, brain, series.echo_times, OWN_SCALES)


def object_grid(series: GreSeries, config: Config, device: Device, *, mask: Array | None = None) -> Grid:
    """Return the grid of a series with the length scale of the configuration, else that of its object.

    The object is measured in `mask` (x, y, z) if given, else in the magnitude; see
    :func:`qsmengine.stages.object_size.sized_grid`.
    """
    if config.input.object_size is not None:
        return series.grid.replace(length_scale=config.input.object_size)
    shown = {"magnitude": series.magnitude} if mask is None else {"mask": mask}
    return sized_grid(series.grid, shown, device=device)

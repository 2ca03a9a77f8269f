"""Maps of a spin-echo train in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qsmengine.backend.cuda_errors import memory_errors
from qsmengine.backend.device import Device, on_device
from qsmengine.data import Array, MeseSeries
from qsmengine.modalities.brain import brain_of
from qsmengine.modalities.mese.stages import plan_mese
from qsmengine.modalities.plausible import check_certainty, check_decay, check_limits
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.execute import check_shape, checked_mask, run_plan
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.relaxometry.spin_echo import T2_RANGE

ECHOES_DIFFER = "compare echo times [s] with the images, whose receive gain and head position must be the same"


class MeseMaps(RunResult):
    """Maps of a series: ``r2`` [1/s], ``t2`` [s], ``refocusing_b1``, ``spin_amplitude``, ``r2prime`` [1/s]."""


def roles_of(b1: object | None, r2star: object | None) -> frozenset[str]:
    """Return the roles of the optional inputs, for :func:`qsmengine.modalities.mese.stages.plan_mese`."""
    return frozenset(role for role, given in (("b1", b1), ("r2star", r2star)) if given is not None)


@on_device
def run_mese(
    series: MeseSeries,
    config: Config,
    device: Device,
    *,
    mask: Array,
    b1: Array | None = None,
    r2star: Array | None = None,
    plan: Plan | None = None,
    progress: ProgressCallback | None = None,
) -> MeseMaps:
    """Compute the maps of a series.

    Parameters
    ----------
    series
        Signal (x, y, z, echo) with echo times.
    config
        Methods and parameters.
    device
        Compute device.
    mask
        (x, y, z) brain mask, see :func:`brain_mask`.
    b1
        (x, y, z) ratio of the actual to the nominal flip angle; None: fitted.
    r2star
        (x, y, z) [1/s], for R2'; None: no R2'.
    plan
        Plan from :func:`qsmengine.modalities.mese.stages.plan_mese` for the same inputs; made here when None.
    progress
        Called before and after each step.

    Raises
    ------
    InputError
        For fewer than four echoes, echo times that are not multiples of their spacing, images of another shape,
        and an empty mask.
    DeviceError
        Before any computation, if the estimate of a step exceeds the available memory.
    """
    grid = series.grid
    plan = plan or plan_mese(config, grid, len(series.echo_times), roles_of(b1, r2star))
    check_memory(plan, device)
    state: dict[str, Any] = {
        "brain_mask": device.asarray(checked_mask(mask, grid), bool),
        "spin_echo_times": series.echo_times,
    }
    for name, image in (("b1", b1), ("r2star", r2star)):
        if image is not None:
            check_shape(name, image, grid)
            state[name] = device.asarray(image)
    with memory_errors("the series", device):
        state["spin_echoes"] = series.signal
    check_decay(series.signal, mask, range(len(series.echo_times)), series.echo_times)
    found = run_plan(plan, state, grid, device, progress, kind=MeseMaps)
    check_limits(found["t2"], T2_RANGE, "T2 [s]", ECHOES_DIFFER)
    check_certainty(found["r2"], found["r2_sd"], "R2", ECHOES_DIFFER)
    if "clipped" not in found.facts:
        return found
    share = 100 * float(found.facts["clipped"])
    return replace(found, notes=(*found.notes, f"R2* is below R2 in {share:.1f} % of the voxels"))


@on_device
def brain_mask(series: MeseSeries, device: Device) -> tuple[Array, str]:
    """Return the brain (x, y, z) in the first echo, which proton density dominates, and a note.

    Raises
    ------
    InputError
        If no brain is found.
    """
    return brain_of(series.signal[..., :1], series.grid, device, "the first echo")

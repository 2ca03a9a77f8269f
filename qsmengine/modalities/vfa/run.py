"""Maps of a series with several flip angles in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qsmengine.backend.cuda_errors import memory_errors
from qsmengine.backend.device import Device, on_device
from qsmengine.data import Array, VfaSeries
from qsmengine.modalities.brain import brain_of
from qsmengine.modalities.vfa.series import LATER
from qsmengine.modalities.vfa.stages import plan_vfa
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.execute import check_shape, checked_mask, run_plan
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.relaxometry.flip_angles import Protocol


class VfaMaps(RunResult):
    """Maps of a series: ``r1`` [1/s], ``t1`` [s], ``amplitude``, ``r2star`` [1/s], and standard deviations."""


def protocol_of(series: VfaSeries) -> Protocol:
    """Return the acquisition of a series; raises InputError if no R1 can be computed from it."""
    return Protocol(series.flip_angles, series.repetition_times, series.echo_times)


def roles_of(protocol: Protocol, b1: object | None) -> frozenset[str]:
    """Return the roles of the optional inputs, for :func:`qsmengine.modalities.vfa.stages.plan_vfa`."""
    return frozenset(role for role, present in ((LATER, protocol.has_decay), ("b1", b1 is not None)) if present)


@on_device
def run_vfa(
    series: VfaSeries,
    config: Config,
    device: Device,
    *,
    mask: Array,
    b1: Array | None = None,
    plan: Plan | None = None,
    progress: ProgressCallback | None = None,
) -> VfaMaps:
    """Compute the maps of a series.

    Parameters
    ----------
    series
        Signal (x, y, z, volume) with flip angles and times.
    config
        Methods and parameters.
    device
        Compute device.
    mask
        (x, y, z) brain mask, see :func:`brain_mask`.
    b1
        (x, y, z) ratio of the actual to the nominal flip angle; None: 1.
    plan
        Plan from :func:`qsmengine.modalities.vfa.stages.plan_vfa` for the same inputs; made here when None.
    progress
        Called before and after each step.

    Raises
    ------
    InputError
        For a single flip angle, implausible tables, images of another shape, B1 in percent, and an empty mask.
    DeviceError
        Before any computation, if the estimate of a step exceeds the available memory.
    """
    grid, protocol = series.grid, protocol_of(series)
    plan = plan or plan_vfa(config, grid, len(series.flip_angles), roles_of(protocol, b1))
    check_memory(plan, device)
    state: dict[str, Any] = {
        "brain_mask": device.asarray(checked_mask(mask, grid), bool),
        "flip_angles": series.flip_angles,
        "repetition_times": series.repetition_times,
        "spoiled_times": series.echo_times,
    }
    if b1 is not None:
        check_shape("B1", b1, grid)
        state["b1"] = device.asarray(b1)
    with memory_errors("the series", device):
        state["spoiled"] = series.signal
    found = run_plan(plan, state, grid, device, progress, kind=VfaMaps)
    if b1 is None:
        return found
    return replace(found, maps={**found.maps, "b1": state["b1"]}, units={**found.units, "b1": "1"})


@on_device
def brain_mask(series: VfaSeries, device: Device) -> tuple[Array, str]:
    """Return the brain (x, y, z) in the echoes of the smallest flip angle, by BET, and a note.

    These images are weighted by proton density, so that the scalp is little brighter than the brain.

    Raises
    ------
    InputError
        If no brain is found.
    """
    smallest = min(series.flip_angles)
    volumes = [k for k, flip in enumerate(series.flip_angles) if flip == smallest]
    origin = f"the flip angle of {smallest:g} degrees"
    return brain_of(series.signal[..., volumes], series.grid, device, origin)

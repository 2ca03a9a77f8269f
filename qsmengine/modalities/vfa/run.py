"""Maps of a series with several flip angles in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np

from qsmengine.backend.cuda_errors import memory_errors
from qsmengine.backend.device import Device, on_device
from qsmengine.data import Array, BalancedSeries, VfaSeries
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.modalities.brain import brain_of
from qsmengine.modalities.plausible import check_certainty, check_decay, check_limits
from qsmengine.modalities.vfa.roles import BALANCED, CYCLED, LATER, SINGLE
from qsmengine.modalities.vfa.stages import FIT, plan_vfa
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.execute import check_shape, checked_mask, run_plan
from qsmengine.pipeline.run.frames import Compact, Maps
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.relaxometry.ellipse import check_equal
from qsmengine.stages.relaxometry.flip_angles import Protocol
from qsmengine.stages.relaxometry.variable_flip_angle import LinearParams

PASSING = ("spoiled",)
"""Input that no map is made of once the plan has run."""
TABLES_DIFFER = (
    "compare flip angles [deg] and repetition times [s] with the images, whose receive gain and head position "
    "must be the same"
)


class VfaMaps(RunResult):
    """Maps of a series: ``r1`` [1/s], ``t1`` [s], ``amplitude``, ``r2star`` [1/s], and standard deviations."""


def protocol_of(series: VfaSeries) -> Protocol:
    """Return the acquisition of a series; raises InputError if no R1 can be computed from it."""
    return Protocol(series.flip_angles, series.repetition_times, series.echo_times)


def roles_of(
    protocol: Protocol, b1: object | None, balanced: int = 0, *, cycled: bool = False
) -> frozenset[str]:
    """Return the roles of the optional inputs, for :func:`qsmengine.modalities.vfa.stages.plan_vfa`.

    `balanced` is the number of balanced steady states, `cycled` whether they have phases.
    """
    roles = {
        LATER: protocol.has_decay, "b1": b1 is not None, SINGLE: balanced == 1 and not cycled,
        BALANCED: balanced > 1 and not cycled, CYCLED: balanced > 0 and cycled,
    }  # fmt: skip
    return frozenset(role for role, present in roles.items() if present)


@on_device
def run_vfa(
    series: VfaSeries,
    config: Config,
    device: Device,
    *,
    mask: Array,
    b1: Array | Compact | None = None,
    balanced: BalancedSeries | None = None,
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
        (x, y, z) ratio of the actual to the nominal flip angle, or that of the box of the mask; None: 1.
    balanced
        Balanced steady states on the same grid, for R2; None: no R2.
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
    roles = _roles(protocol_of(series), b1, balanced)
    plan = plan or plan_vfa(config, series.grid, len(series.flip_angles), roles)
    check_memory(plan, device)
    state = arrays_of(series, device, mask=mask, b1=b1, balanced=balanced)
    return fit_arrays(state, plan, series.grid, device, progress)


def arrays_of(
    series: VfaSeries,
    device: Device,
    *,
    mask: Array,
    b1: Array | Compact | None = None,
    balanced: BalancedSeries | None = None,
) -> dict[str, Any]:
    """Return the checked inputs of a series by name; arguments and errors are those of :func:`run_vfa`."""
    grid = series.grid
    state: dict[str, Any] = {
        "brain_mask": device.asarray(checked_mask(mask, grid), bool),
        "flip_angles": series.flip_angles,
        "repetition_times": series.repetition_times,
        "spoiled_times": series.echo_times,
    }
    if isinstance(b1, Compact):
        state["b1"] = b1
    elif b1 is not None:
        check_shape("B1", b1, grid)
        state["b1"] = device.xp.asarray(b1, np.float32)  # as it lies in memory: methods take the brain alone
    if balanced is not None:
        state |= _balanced_state(balanced, device)
    with memory_errors("the series", device):
        state["spoiled"] = series.signal if series.part is None else Compact(series.signal, series.part)
    _check_echoes(series, mask)
    return state


@on_device
def fit_arrays(
    state: dict[str, Any], plan: Plan, grid: Grid, device: Device, progress: ProgressCallback | None = None
) -> VfaMaps:
    """Compute the maps of the inputs from :func:`arrays_of`; `state` is empty afterwards.

    The memory of a series that nobody else holds is free for what follows the fits.
    """
    has_b1 = "b1" in state
    found = run_plan(
        plan, {name: state.pop(name) for name in list(state)}, grid, device, progress,
        kind=VfaMaps, passing=PASSING,
    )  # fmt: skip
    _check_fit(found)
    if has_b1:
        maps = cast("Maps", found.maps).including("b1")
        found = replace(found, maps=maps, units={**found.units, "b1": "1"})
    return replace(found, notes=(*found.notes, *_band_notes(found)))


def _roles(protocol: Protocol, b1: Array | Compact | None, balanced: BalancedSeries | None) -> frozenset[str]:
    count = 0 if balanced is None else len(balanced.flip_angles)
    return roles_of(protocol, b1, count, cycled=balanced is not None and balanced.phase is not None)


def _balanced_state(balanced: BalancedSeries, device: Device) -> dict[str, Any]:
    """Return the inputs of the fit of R2."""
    if balanced.phase is not None:
        check_equal(balanced.flip_angles, "flip angles")
        return {
            "cycled": balanced.signal, "cycled_phase": balanced.phase,
            "cycled_increments": balanced.increments, "cycled_times": balanced.repetition_times,
        }  # fmt: skip
    if balanced.field is None:
        raise InputError("magnitudes alone need the off-resonance in a field map", field="field")
    return {
        "balanced": balanced.signal, "balanced_angles": balanced.flip_angles,
        "balanced_increments": balanced.increments, "balanced_times": balanced.repetition_times,
        "balanced_echoes": balanced.echo_times, "total_field": device.asarray(balanced.field),
    }  # fmt: skip


def _check_echoes(series: VfaSeries, mask: Array) -> None:
    """Raise InputError if the signal of an excitation (flip angle, TR) grows with the echo time."""
    inside = mask if series.part is None else mask[series.part]
    excitations = list(zip(series.flip_angles, series.repetition_times, strict=True))
    for excitation in set(excitations):
        volumes = [k for k, other in enumerate(excitations) if other == excitation]
        check_decay(series.signal, inside, volumes, series.echo_times)


def _check_fit(found: VfaMaps) -> None:
    """Raise InputError if the fit of R1 has failed."""
    record = found.record(FIT.section)
    params = None if record is None else record.step.params
    if isinstance(params, LinearParams):
        r1, r1_sd = (found.compact(name).array for name in ("r1", "r1_sd"))  # of one method: in the same part
        check_limits(r1, (1.0 / params.t1_max, params.r1_max), "R1 [1/s]", TABLES_DIFFER)
        check_certainty(r1, r1_sd, "R1", TABLES_DIFFER)


def _band_notes(found: VfaMaps) -> list[str]:
    """Return the share of voxels with R1 that lie in a band of balanced steady states."""
    if "balanced_used" not in found.maps:
        return []
    known = found["r1"] > 0
    banded = known & (found["balanced_r2"] == 0)
    share = 100.0 * int(banded.sum()) / max(int(known.sum()), 1)
    return [f"R2 is unknown, and 0, in {share:.1f} % of the voxels: bands of the balanced images"]


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

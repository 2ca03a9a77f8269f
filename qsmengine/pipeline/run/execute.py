"""Execution of a plan in memory: arrays in, maps out."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from qsmengine.backend.device import Device
from qsmengine.data import Array, check_not_empty
from qsmengine.data.checks import check_mask, check_real
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.pipeline.run.frames import Frame, Frames, Maps
from qsmengine.pipeline.run.plan import DERIVED, Plan, PlanStep
from qsmengine.pipeline.run.progress import Progress, ProgressCallback
from qsmengine.pipeline.run.results import Record, RunResult
from qsmengine.solvers.stopping import SolverStatus
from qsmengine.stages.object_size import size_notes

if TYPE_CHECKING:
    from qsmengine.stages.uncertainty.monte_carlo import ChainStep

Result = TypeVar("Result", bound=RunResult)


def run_plan(
    plan: Plan,
    state: dict[str, Any],
    grid: Grid,
    device: Device,
    progress: ProgressCallback | None = None,
    *,
    kind: type[Result],
    passing: Collection[str] = (),
    boxed: Collection[str] = (),
) -> Result:
    """Run the steps of a plan on the arrays of `state`.

    Parameters
    ----------
    plan
        Steps to run.
    state
        Name in the plan -> array on `device`, or table; "unknown" marks voxels excluded from every mask.
    grid
        Geometry.
    device
        Compute device.
    progress
        Called before and after each step and during the iterations of solvers.
    kind
        Class of the result.
    passing
        Arrays that the result does without: their memory is free once no later step needs them.
    boxed
        Arrays that are kept in the box of the mask alone, once no later step needs them elsewhere.
    """
    given = set(state)
    frames = Frames(state, grid, device)
    del state  # an array in `passing` is then freed unless the caller holds it
    units: dict[str, str] = {}
    facts: dict[str, Any] = {}
    records = []
    for index, step in enumerate(plan.steps, start=1):
        frame = frames.frame(within_mask=step.method.within_mask)
        for name, sources in step.derived.items():
            frame[name] = DERIVED[name].make(*(frame[source] for source in sources))
        now = Progress(step.title, index, len(plan.steps))
        record, results = _run_step(step, frame, device, now, progress)
        records.append(record)
        for name, value in results.items():
            unit = step.method.outputs[name]
            frame[step.outputs[name]] = value
            if getattr(value, "ndim", 0) >= 3:
                units[step.outputs[name]] = unit
            else:
                facts[name] = value
        for name in (n for n in step.outputs.values() if n.endswith("mask")):
            frame[name] = known_part(frame[name], frame)
            _check_not_empty(frame[name], step)
        later = plan.steps[index:]
        frames.forget({*passing} - _needed(later))
        frames.narrow({*boxed} - _needed(step for step in later if not step.method.within_mask))
    facts |= {} if grid.length_scale in {None, 1.0} else {"length_scale": grid.length_scale}
    maps = Maps(frames, tuple(name for name in frames if name in units or name == "brain_mask"))
    if "brain_mask" in given:
        units["brain_mask"] = "1"
    return kind(
        maps=maps,
        units={name: unit for name, unit in units.items() if name in maps},
        grid=grid.replace(length_scale=None),
        records=tuple(records),
        facts=facts,
        notes=(*plan.notes, *size_notes(grid)),
    )


def _needed(steps: Iterable[PlanStep]) -> set[str]:
    """Return the names of the arrays that some steps take."""
    taken = [step for planned in steps for step in (planned, *planned.chain)]
    sources = (name for step in taken for names in step.derived.values() for name in names)
    return {*(name for step in taken for name in step.inputs.values()), *sources}


def _run_step(
    step: PlanStep,
    state: Frame,
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
    options: dict[str, Any] = {"callback": listen} if step.method.iterative else {}
    if step.chain:
        options["chain"] = tuple(_chain_step(earlier, state) for earlier in step.chain)
    results = step.method(inputs, state.grid, step.params, device=device, **options)
    device.synchronize()
    seconds = time.perf_counter() - start
    if progress is not None:
        progress(Progress(now.title, now.index, now.total, 1.0, seconds))
    return Record(step, seconds, status[-1] if status else None), results


def _chain_step(step: PlanStep, state: Mapping[str, Any]) -> ChainStep:
    """Step to be repeated on other fields; inputs other than field, weight and mask are unchanged."""
    from qsmengine.stages.uncertainty.monte_carlo import ChainStep

    changing = {"total_field", "local_field", "weight", "mask"}
    kept = {a: state[name] for a, name in step.inputs.items() if a not in changing and name in state}
    return ChainStep(step.method, step.params, kept)


def known_part(mask: Array, state: Mapping[str, Any]) -> Array:
    """Return the mask without the voxels that `state` marks as unknown."""
    unknown = state.get("unknown")
    if unknown is None:
        return mask
    known: Array = mask & ~unknown
    return known


def _check_not_empty(mask: Array, step: PlanStep) -> None:
    if not bool(mask.any()):
        raise InputError(
            f"{step.title} returned an empty mask: too little signal, or a region too small for its parameters",
            field="mask",
        )


def checked_mask(mask: Array, grid: Grid) -> Array:
    """Return the mask as bool; raise InputError if it is empty, of another shape, or needs a threshold."""
    check_real("mask", mask)
    check_shape("mask", mask, grid)
    inside = check_mask("mask", mask, grid)
    check_not_empty(inside)
    return inside


def check_shape(name: str, array: Array, grid: Grid) -> None:
    """Raise InputError if an array's shape differs from the grid's."""
    if tuple(array.shape) != grid.shape:
        raise InputError(f"{name} has shape {tuple(array.shape)}, the image has {grid.shape}", field="shape")

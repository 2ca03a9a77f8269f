"""Computation of one step of a session from files to files, in less memory if necessary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qsmengine.backend.cuda_errors import is_out_of_memory
from qsmengine.backend.device import Device, cpu
from qsmengine.backend.memory import available_memory, free_pool
from qsmengine.cohort.plan.model import ATLAS, REGIONS, REGISTRATION, Step
from qsmengine.cohort.work.atlases import write_atlases
from qsmengine.cohort.work.register import register_series
from qsmengine.cohort.work.tabulate import write_table
from qsmengine.cohort.work.tasks import Place, Result, task_of
from qsmengine.errors import UsageError
from qsmengine.modalities.modality import Modality
from qsmengine.modalities.registry import modality_of
from qsmengine.pipeline.configuration.config import validate

SLAB_SHARE = 0.4
"""Fraction of the available memory for a fit in slabs, after the whole did not fit."""


DERIVED: Mapping[str, Callable[[Step, Place, Mapping[str, Sequence[str]]], tuple[list[str], list[str]]]] = {
    REGIONS: write_table,
    REGISTRATION: register_series,
    ATLAS: write_atlases,
}
"""Kinds of steps that work on the results of others -> what runs them; returns files and notes."""


def run_step(step: Step, place: Place, before: Mapping[str, Sequence[str]]) -> Result:
    """Run a step; `before` holds the outputs of the steps that it depends on.

    If memory is insufficient, a step that can divide its series is repeated in slabs; then any step is repeated
    on the CPU, unless the device was requested explicitly. Notes record this.

    Raises
    ------
    InputError, UsageError, DeviceError, OSError, MemoryError
        As raised by the run of the session.
    """
    if step.kind in DERIVED:
        files, notes = DERIVED[step.kind](step, place, before)
        return Result(tuple(files), tuple(notes), "cpu")
    modality = modality_of(step.kind)
    if modality is None:
        raise UsageError(f"{step.name}: unknown kind of step {step.kind!r}")
    return _in_memory(step, modality, place)


def _in_memory(step: Step, modality: Modality, place: Place) -> Result:
    """Run the step as planned, then in slabs, then on the CPU, until one fits in memory."""
    tries: list[tuple[str, Device, Callable[[], int | None]]] = [("", place.device, lambda: place.memory)]
    if modality.in_slabs:
        tries.append(("repeated in slabs", place.device, lambda: _slab_memory(place.device)))
    if place.device.kind == "cuda" and place.fall_back:
        tries.append(("repeated on the CPU", cpu(place.device.threads), lambda: place.memory))
    notes = [place.device.note] if place.device.note else []
    for number, (what, device, memory) in enumerate(tries, start=1):
        try:
            files, found = _reconstruct(step, modality, place, device, memory())
        except Exception as error:
            if number == len(tries) or not is_out_of_memory(error):
                raise
            notes.append(f"{what or 'computed'} on {device}: {str(error) or 'out of memory'}")
            continue
        finally:
            free_pool(device)  # after the except clause, whose traceback holds the arrays of the failed try
        if what:
            notes.append(what)
        return Result(files, (*notes, *found), str(device))
    raise AssertionError(tries)


def _reconstruct(
    step: Step, modality: Modality, place: Place, device: Device, memory: int | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the files and notes of a run and release its arrays."""
    task = task_of(step, place, memory)
    config = validate(dict(step.settings), None, modality.sections_with(sorted(step.inputs)))
    outcome = modality.reconstruct(task, config, device, False, place.progress)
    return tuple(_relative(path, place.out) for path in outcome.files), tuple(outcome.notes)


def _slab_memory(device: Device) -> int | None:
    have = available_memory(device)
    return None if have is None else int(have * SLAB_SHARE)


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()

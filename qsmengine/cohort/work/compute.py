"""One step of a session: files in, files out, with less memory where it does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qsmengine.backend.cuda_errors import is_out_of_memory
from qsmengine.backend.device import Device, cpu
from qsmengine.backend.memory import available_memory, free_pool
from qsmengine.cohort.plan.model import REGIONS, Step
from qsmengine.cohort.work.tabulate import write_table
from qsmengine.errors import UsageError
from qsmengine.modalities.modality import Modality, Task
from qsmengine.modalities.registry import modality_of
from qsmengine.pipeline.configuration.config import validate
from qsmengine.pipeline.outputs.staging import Writing
from qsmengine.pipeline.run.progress import ProgressCallback

SLAB_SHARE = 0.4
"""Part of the memory at hand that a fit in slabs may take, after the whole did not fit."""


@dataclass(frozen=True)
class Place:
    """Where a step runs.

    Parameters
    ----------
    bids, out
        Folders of the dataset and of the derivatives.
    scratch
        Folder for what is not finished.
    device
        First choice.
    fall_back
        Whether a step may go to the CPU where the GPU's memory does not suffice.
    memory
        Bytes that a diffusion fit may take; None for what is available.
    progress
        Told of the run; may raise to end it.
    """

    bids: Path
    out: Path
    scratch: Path
    device: Device
    fall_back: bool = False
    memory: int | None = None
    progress: ProgressCallback | None = None

    @property
    def writing(self) -> Writing:
        """How outputs are written."""
        return Writing(scratch=self.scratch, timings=False)


@dataclass(frozen=True)
class Result:
    """Files written, relative to the output folder; what was decided; the device that did it."""

    files: tuple[str, ...]
    notes: tuple[str, ...]
    device: str


def run_step(step: Step, place: Place, before: Mapping[str, Sequence[str]]) -> Result:
    """Run a step; `before` holds the outputs of the steps it comes after.

    Where memory does not suffice, a diffusion fit is repeated in slabs, then any step on the CPU if
    the device was not asked for; notes tell.

    Raises
    ------
    InputError, UsageError, DeviceError, OSError, MemoryError
        As the session's run does.
    """
    if step.kind == REGIONS:
        files = write_table(step, place.bids, place.out, place.scratch, before)
        return Result(tuple(files), (), "cpu")
    modality = modality_of(step.kind)
    if modality is None:
        raise UsageError(f"{step.name}: unknown kind of step {step.kind!r}")
    return _in_memory(step, modality, place)


def _in_memory(step: Step, modality: Modality, place: Place) -> Result:
    """The step as planned, then in slabs, then on the CPU: the first that fits."""
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
    """Files and notes of a run; its arrays are let go."""
    task = task_of(step, place, memory)
    outcome = modality.reconstruct(task, validate(dict(step.settings)), device, False, place.progress)
    return tuple(_relative(path, place.out) for path in outcome.files), tuple(outcome.notes)


def task_of(step: Step, place: Place, memory: int | None = None) -> Task:
    """The task of a step, its files below ``place.bids``, its outputs below ``place.out``."""
    files = {role: tuple(place.bids / path for path in paths) for role, paths in step.inputs.items()}
    options = {key: value for key, value in step.options.items() if key != "name"}
    name = str(step.options["name"])
    return Task(files, place.out, name, options, force=True, max_memory=memory, writing=place.writing)


def _slab_memory(device: Device) -> int | None:
    have = available_memory(device)
    return None if have is None else int(have * SLAB_SHARE)


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()

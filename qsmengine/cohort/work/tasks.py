"""Surroundings of a step: folders, device and limits, and the task and result of a step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qsmengine.backend.device import Device
from qsmengine.cohort.plan.model import Step
from qsmengine.modalities.modality import Task
from qsmengine.pipeline.outputs.staging import Writing
from qsmengine.pipeline.run.progress import ProgressCallback


@dataclass(frozen=True)
class Place:
    """Folders, device and limits that a step runs with.

    Parameters
    ----------
    bids, out
        Folders of the dataset and of the derivatives.
    scratch
        Folder for unfinished files.
    device
        First choice.
    fall_back
        Whether a step may use the CPU if the GPU's memory is insufficient.
    memory
        Memory limit of a step that divides its series [bytes]; None for the available memory.
    progress
        Called with the progress of the run; may raise to end it.
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
        """Options for writing the outputs."""
        return Writing(scratch=self.scratch, timings=False)


@dataclass(frozen=True)
class Result:
    """Files written (relative to the output folder), decisions, and the device that was used."""

    files: tuple[str, ...]
    notes: tuple[str, ...]
    device: str


def task_of(step: Step, place: Place, memory: int | None = None) -> Task:
    """Return the task of a step, with inputs below ``place.bids`` and outputs below ``place.out``."""
    files = {role: tuple(place.bids / path for path in paths) for role, paths in step.inputs.items()}
    options = {key: value for key, value in step.options.items() if key != "name"}
    name = str(step.options["name"])
    return Task(files, place.out, name, options, force=True, max_memory=memory, writing=place.writing)

"""Session with several flip angles: load the images, then compute and write the maps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qsmengine.data import Array
from qsmengine.errors import naming
from qsmengine.io.vfa import VfaFile, open_vfa, read_vfa
from qsmengine.modalities.modality import Task
from qsmengine.modalities.session import Computed, Request, Run, Session
from qsmengine.modalities.transmit import B1, load_b1
from qsmengine.modalities.vfa.products import PRODUCTS
from qsmengine.modalities.vfa.run import brain_mask, roles_of, run_vfa
from qsmengine.modalities.vfa.series import FIRST, LATER, OWN, STEP
from qsmengine.modalities.vfa.stages import plan_vfa
from qsmengine.stages.relaxometry.flip_angles import Protocol


@dataclass(frozen=True)
class VfaRequest(Request):
    """Files of a session: one image per flip angle and echo, or one per flip angle with its echoes as volumes.

    Parameters
    ----------
    flip_angles, repetition_times
        [deg] and [s], one per image, or one repetition time for all; None: from the sidecars.
    echo_times
        [s], one per volume; None: from the sidecars.
    b1
        Map of the transmit field, as a ratio to the nominal flip angle or in percent, or two images of actual
        flip-angle imaging or the double-angle method; empty: 1.
    """

    flip_angles: tuple[float, ...] | None = None
    repetition_times: tuple[float, ...] | None = None
    echo_times: tuple[float, ...] | None = None
    b1: tuple[Path, ...] = ()

    @property
    def extra(self) -> list[Path]:
        """Input files in addition to the images."""
        return [*super().extra, *self.b1]

    @classmethod
    def of(cls, task: Task) -> VfaRequest:
        """Return the request of a cohort's task."""
        return cls(
            task.all(FIRST, LATER), task.out, mask=task.one("mask"), force=task.force, name=task.name,
            writing=task.writing, b1=task.all(B1),
        )  # fmt: skip


def checked_protocol(file: VfaFile) -> Protocol:
    """Return the acquisition of an opened series; raises InputError, naming the first file, if unusable."""
    with naming(file.files[0].path):
        return Protocol(file.flip_angles, file.repetition_times, file.echo_times)


def _open(request: VfaRequest) -> VfaFile:
    return open_vfa(
        request.images, flip_angles=request.flip_angles, repetition_times=request.repetition_times,
        echo_times=request.echo_times,
    )  # fmt: skip


def _roles(request: VfaRequest, file: VfaFile) -> frozenset[str]:
    return roles_of(checked_protocol(file), request.b1 or None)


def _acquisition(file: VfaFile) -> dict[str, Any]:
    return {
        "FlipAngle": list(file.flip_angles),
        "RepetitionTimeExcitation": list(file.repetition_times),
        "EchoTime": list(file.echo_times),
    }


def _compute(run: Run[VfaRequest, VfaFile]) -> Computed:
    b1: Array | None = None
    if run.request.b1:
        b1, notes = load_b1(run.request.b1, run.file.grid, run.config, run.device)
        run.add(notes)
    loaded = read_vfa(run.file)
    run.add(loaded.notes)
    series = loaded.series
    mask, grid = run.brain(lambda: brain_mask(series, run.device), loaded.unknown)
    with naming(run.file.files[0].path):
        found = run_vfa(
            replace(series, grid=grid), run.config, run.device, mask=mask, b1=b1, plan=run.plan,
            progress=run.progress,
        )  # fmt: skip
    return Computed(found)


SESSION = Session(
    step=STEP,
    datatype="anat",
    products=PRODUCTS,
    request=VfaRequest.of,
    open=_open,
    plan=plan_vfa,
    compute=_compute,
    roles=_roles,
    acquisition=_acquisition,
    own=OWN,
)

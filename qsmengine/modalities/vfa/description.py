"""Description of series with several flip angles as a modality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qsmengine.backend.device import Device
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsName
from qsmengine.io.vfa import open_vfa
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Row, Task
from qsmengine.modalities.style import Style
from qsmengine.modalities.vfa.products import PRODUCTS
from qsmengine.modalities.vfa.series import FIRST, LATER, STEP, SUFFIXES, group
from qsmengine.modalities.vfa.session import DATATYPE, VfaRequest, checked_protocol, run_vfa_session, vfa_files
from qsmengine.modalities.vfa.stages import plan_vfa
from qsmengine.modalities.vfa.warm_up import warm_up
from qsmengine.phantom.vfa_drawing import DRAWING
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.maps import Naming
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan
from qsmengine.pipeline.run.progress import ProgressCallback

ROWS = (
    Row("R1map.nii.gz", "R1", Style("gray", (0.2, 1.6), "1/s")),
    Row("T1map.nii.gz", "T1", Style("viridis", (0.5, 2.5), "s")),
    Row("desc-vfa_R2starmap.nii.gz", "R2*", Style("inferno", (0.0, 60.0), "1/s")),
    Row("PDmap.nii.gz", "proton density", Style("gray", (0.5, 1.0), "")),
    Row("TB1map.nii.gz", "B1", Style("viridis", (0.7, 1.3), "")),
)


def _images(files: Mapping[str, Any]) -> tuple[Path, ...]:
    return tuple(Path(path) for role in (FIRST, LATER) for path in files.get(role, ()))


def _open(parts: Parts, opening: Opening) -> Opened:
    found: list[InputError] = []
    try:
        file = open_vfa(_images(parts), folders=opening.folders, problems=found)
        checked_protocol(file)
    except InputError as error:
        return Opened(None, problems=tuple(str(problem) for problem in found or [error]))
    return Opened(file.grid, file.n_volumes, notes=file.notes)


def _protocol(acquisition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return flip angles and repetition times."""
    angles, times = acquisition.get("FlipAngle") or (), acquisition.get("RepetitionTimeExcitation") or ()
    found = []
    if angles:
        found.append(f"flip angles of {_listed(angles, 1.0)} degrees")
    if times:
        found.append(f"repetition times of {_listed(times, 1e3)} ms")
    return tuple(found)


def _listed(values: Any, factor: float) -> str:
    return " and ".join(f"{factor * value:.3g}" for value in sorted({float(value) for value in values}))


def _plan(config: Config, grid: Grid, volumes: int, roles: frozenset[str]) -> Plan:
    return plan_vfa(config, grid, volumes, roles)


def _files(plan: Plan, name: BidsName) -> list[Path]:
    return vfa_files(plan, Naming(name, datatype=DATATYPE))


def _reconstruct(
    task: Task, config: Config, device: Device, dry_run: bool, progress: ProgressCallback | None
) -> Outcome:
    request = VfaRequest(
        magnitude=_images(task.files), out=task.out, mask=task.one("mask"), force=task.force, name=task.name,
        writing=task.writing,
    )  # fmt: skip
    return run_vfa_session(request, config, device, dry_run=dry_run, progress=progress)


MODALITY = Modality(
    name="vfa",
    step=STEP,
    title="Relaxometry",
    data="Spoiled gradient echoes at several flip angles",
    absent="no series with several flip angles",
    datatype=DATATYPE,
    suffixes=SUFFIXES,
    queries={"vfa": SUFFIXES},
    group=group,
    open=_open,
    plan=_plan,
    files=_files,
    reconstruct=_reconstruct,
    products=PRODUCTS,
    rows=ROWS,
    protocol=_protocol,
    drawing=DRAWING,
    warm_up=warm_up,
)

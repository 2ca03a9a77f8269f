"""Description of bolus series as a modality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qsmengine.backend.device import Device
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsName
from qsmengine.io.dsc import open_dsc
from qsmengine.modalities.dsc.companions import AIF, AIF_MASK, MASK, REGION, companions
from qsmengine.modalities.dsc.dicom import DICOM
from qsmengine.modalities.dsc.products import PRODUCTS
from qsmengine.modalities.dsc.quality import MEASURES
from qsmengine.modalities.dsc.series import FIRST, SECOND, STEP, SUFFIXES, group
from qsmengine.modalities.dsc.session import DATATYPE, DscRequest, dsc_files, run_dsc_session
from qsmengine.modalities.dsc.stages import plan_dsc
from qsmengine.modalities.dsc.warm_up import warm_up
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Row, Task
from qsmengine.modalities.style import Curve, Style
from qsmengine.phantom.dsc_drawing import DRAWING
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.maps import Naming
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan
from qsmengine.pipeline.run.progress import ProgressCallback

_SECONDS = Style("viridis", (0.0, 10.0), "s")
_GREY = "Two to three times larger in grey than in white matter; vessels are brightest."
ROWS = (
    Row("CBV.nii.gz", "blood volume", Style("inferno", (0.0, 8.0), "mL/100 g"), caption=_GREY),
    Row("CBF.nii.gz", "blood flow", Style("inferno", (0.0, 80.0), "mL/100 g/min"), caption=_GREY),
    Row("MTT.nii.gz", "mean transit time", _SECONDS),
    Row("Tmax.nii.gz", "Tmax", _SECONDS),
    Row("delay.nii.gz", "delay", _SECONDS),
    Row("K2.nii.gz", "leakage K2", Style("gray", (-0.02, 0.02), "1/s")),
)
CURVES = (Curve("aif.tsv", "dR2* of the artery", "1/s", "desc-aif_mask.nii.gz", "CBV.nii.gz"),)


def _open(parts: Parts, opening: Opening) -> Opened:
    images = [path for role in (FIRST, SECOND) for path in parts.get(role, ())]
    found: list[InputError] = []
    try:
        file = open_dsc(images, folders=opening.folders, problems=found)
    except InputError as error:
        return Opened(None, problems=tuple(str(problem) for problem in found or [error]))
    given, notes = companions(images[0])
    if {AIF, AIF_MASK} <= given.keys():
        return Opened(None, problems=(f"{images[0]}: both a curve and a mask of the artery lie in its folder",))
    return Opened(file.grid, file.n_frames, given, (*file.notes, *notes))


def _protocol(acquisition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return echo times and the time between frames."""
    times, step = acquisition.get("EchoTimes") or (), acquisition.get("RepetitionTime")
    found = []
    if times:
        named = " and ".join(f"{1e3 * float(time):.3g}" for time in times)
        found.append(f"{'echo times' if len(times) > 1 else 'echo time'} {named} ms")
    if step:
        found.append(f"{float(step):.3g} s between frames")
    return tuple(found)


def _plan(config: Config, grid: Grid, frames: int, roles: frozenset[str]) -> Plan:
    return plan_dsc(config, grid, frames, roles)


def _files(plan: Plan, name: BidsName) -> list[Path]:
    return dsc_files(plan, Naming(name, datatype=DATATYPE))


def _reconstruct(
    task: Task, config: Config, device: Device, dry_run: bool, progress: ProgressCallback | None
) -> Outcome:
    request = DscRequest(
        dsc=tuple(path for role in (FIRST, SECOND) for path in task.files.get(role, ())),
        out=task.out,
        mask=task.one(MASK),
        aif=task.one(AIF),
        aif_mask=task.one(AIF_MASK),
        relative_to=task.one(REGION),
        force=task.force,
        name=task.name,
        writing=task.writing,
    )
    return run_dsc_session(request, config, device, dry_run=dry_run, progress=progress)


MODALITY = Modality(
    name="dsc",
    step=STEP,
    title="Perfusion",
    data="Bolus series with contrast agent",
    absent="no bolus series with contrast agent",
    datatype=DATATYPE,
    suffixes=SUFFIXES,
    queries={"dsc": SUFFIXES},
    group=group,
    open=_open,
    plan=_plan,
    files=_files,
    reconstruct=_reconstruct,
    products=PRODUCTS,
    rows=ROWS,
    measures=MEASURES,
    curves=CURVES,
    outside_bids=("dsc", "perf"),
    ignored=(DATATYPE,),
    protocol=_protocol,
    dicom=DICOM,
    drawing=DRAWING,
    warm_up=warm_up,
)

"""Description of diffusion-weighted images as a modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qsmengine.backend.device import Device
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsName
from qsmengine.io.dwi import open_dwi
from qsmengine.io.header import check_stored_size
from qsmengine.io.inheritance import find_inherited
from qsmengine.io.sidecars import read_sidecar
from qsmengine.modalities.dwi.dicom import DICOM
from qsmengine.modalities.dwi.maps import dti_files
from qsmengine.modalities.dwi.products import PRODUCTS
from qsmengine.modalities.dwi.quality import MEASURES
from qsmengine.modalities.dwi.reference import REFERENCE
from qsmengine.modalities.dwi.series import group
from qsmengine.modalities.dwi.session import DtiRequest, run_dti_session
from qsmengine.modalities.dwi.stages import SECTIONS, plan_dti
from qsmengine.modalities.dwi.volumes import b0_limit, fitted_volumes
from qsmengine.modalities.dwi.warm_up import warm_up
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Row, Task
from qsmengine.modalities.style import Style, VolumeChart
from qsmengine.phantom.dwi import DRAWING
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan
from qsmengine.pipeline.run.progress import ProgressCallback

_FA = "model-*_param-fa_dwimap.nii.gz"
ROWS = (
    Row(
        _FA,
        "FA",
        "fa",
        caption="White matter bright with sharp edges; a bright rim is motion or eddy currents.",
        measures=("snr_b0", "fa_median", "translation"),
    ),
    Row(
        _FA,
        "colour FA",
        "colour_fa",
        vectors="model-*_param-v1_dwimap.nii.gz",
        caption="The corpus callosum is red, the cingulum green, the corticospinal tract blue.",
        measures=("axis_ratio", "best_table"),
    ),
    Row(
        "model-*_param-md_dwimap.nii.gz",
        "MD",
        "diffusivity",
        caption="Even in tissue, bright in fluid.",
        measures=("md_median",),
    ),
    Row(
        "model-*_param-sse_dwimap.nii.gz",
        "residual",
        Style("inferno", None, "squared, log"),
        caption="Dark, brighter in fluid; whole bright slices are lost signal, a bright rim is motion.",
        measures=("residual", "lost_slices"),
    ),
)
CHARTS = (
    VolumeChart(
        files="desc-volumes_dti.tsv",
        slices="desc-slices_dti.tsv",
        label="slices against the fit",
        unit="%",
        value="signal_change",
        mark="lost",
        colours="RdBu",
        limit=30.0,
        strip="b_value",
        strip_label="b",
        curve="residual",
        curve_label="residual [%]",
        second="shift",
        second_label="shift [mm]",
        caption="Mean signal of every slice of every volume, relative to the fit: pale where they agree. "
        "Missing signal is red, lost slices have yellow frames, grey is not judged. Below, residual and shift "
        "of each volume; the shift is found without registration. Both are even in a good series; peaks are "
        "motion.",
        measures=("lost_slices", "worst_volume", "translation"),
    ),
)


def _open(parts: Parts, opening: Opening) -> Opened:
    image = parts["dwi"][0]
    tables: dict[str, tuple[Path, ...]] = {}
    problems: list[str] = []
    for role in ("bval", "bvec"):
        try:
            tables[role] = (find_inherited(image, f".{role}", opening.folders),)
        except InputError as error:
            problems.append(str(error))
    if problems:
        return Opened(None, inputs=tables, problems=tuple(problems))
    try:
        file = open_dwi(image, tables["bval"][0], tables["bvec"][0], b0_threshold=b0_limit(opening.config))
        check_stored_size(file.header)
        table = file.b_values[file.volumes], file.b_vectors[file.volumes]
        volumes, decided = fitted_volumes(opening.config, *table)
    except InputError as error:
        return Opened(None, inputs=tables, problems=(str(error),))
    notes = (*file.notes, *decided, *_multipart(image, opening))
    return Opened(file.grid, len(volumes), tables, notes)


def _multipart(image: Path, opening: Opening) -> list[str]:
    """Return a note if the sidecar marks the series as one of several parts."""
    try:
        label = read_sidecar(image, opening.folders).values.get("MultipartID")
    except InputError as error:
        return [str(error)]
    if label is None:
        return []
    return [f"MultipartID {label}: one of several parts; each part is fitted separately"]


def _plan(config: Config, grid: Grid, volumes: int, _roles: frozenset[str]) -> Plan:
    return plan_dti(config, grid, volumes)


def _prefix(name: BidsName) -> Path:
    return name.folder / "dwi" / name.filename.removesuffix("_dwi.nii.gz")


def _files(plan: Plan, name: BidsName) -> list[Path]:
    return dti_files(plan, _prefix(name), "bids")


def _protocol(facts: Mapping[str, Any]) -> tuple[str, ...]:
    shells = facts.get("BValues")
    return (f"b = {', '.join(f'{b:g}' for b in shells)} s/mm^2",) if shells else ()


def _reconstruct(
    task: Task, config: Config, device: Device, dry_run: bool, progress: ProgressCallback | None
) -> Outcome:
    request = DtiRequest(
        dwi=task.files["dwi"][0],
        prefix=task.out / _prefix(BidsName.parse(task.name)),
        bval=task.one("bval"),
        bvec=task.one("bvec"),
        mask=task.one("mask"),
        names="bids",
        max_memory=task.max_memory,
        force=task.force,
        writing=task.writing,
    )
    return run_dti_session(request, config, device, dry_run=dry_run, progress=progress)


def _judged(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the sentence on lost slices in series with these provenance files; "" if they were not judged."""
    counts = [found for record in records if isinstance(found := record.get("SliceLoss"), Mapping)]
    judged, lost = (sum(int(found.get(name, 0)) for found in counts) for name in ("Judged", "Lost"))
    if not judged:
        return ""
    return (
        "Signals of slices were compared with the fit, refitted robustly without lost slices: "
        f"{lost} of {judged} were more than four standard deviations and 10 % below it, relative to the two "
        "slices on either side; they were not left out"
    )


MODALITY = Modality(
    name="dwi",
    step="dti",
    title="Diffusion",
    data="Diffusion-weighted data",
    absent="no diffusion series",
    datatype="dwi",
    suffixes=("dwi",),
    queries={"dwi": ("dwi",)},
    group=group,
    open=_open,
    sections=SECTIONS,
    plan=_plan,
    files=_files,
    reconstruct=_reconstruct,
    products=PRODUCTS,
    rows=ROWS,
    charts=CHARTS,
    reference=REFERENCE,
    ignored=("*_dwimap.*", "*_desc-volumes_dti.*", "*_desc-slices_dti.*"),
    measures=MEASURES,
    in_slabs=True,
    protocol=_protocol,
    judged=_judged,
    dicom=DICOM,
    drawing=DRAWING,
    warm_up=warm_up,
)

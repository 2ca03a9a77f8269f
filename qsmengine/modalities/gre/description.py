"""Description of gradient echoes as a modality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qsmengine.backend.device import Device
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsName
from qsmengine.io.gre_files import GreFiles, open_gre
from qsmengine.modalities.gre.dicom import DICOM
from qsmengine.modalities.gre.pictures import pictures
from qsmengine.modalities.gre.products import PRODUCTS
from qsmengine.modalities.gre.protocol import RECOMMENDATION
from qsmengine.modalities.gre.quality import MEASURES
from qsmengine.modalities.gre.reference import REFERENCE
from qsmengine.modalities.gre.series import SUFFIXES, group
from qsmengine.modalities.gre.session import QsmRequest, extent_notes, run_qsm_session
from qsmengine.modalities.gre.stages import SECTIONS, plan_qsm
from qsmengine.modalities.gre.warm_up import warm_up
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Row, Task
from qsmengine.modalities.quality import quality_files
from qsmengine.phantom.gre import DRAWING
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.maps import product_files
from qsmengine.pipeline.outputs.naming import Naming
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan
from qsmengine.pipeline.run.progress import ProgressCallback

_CHI = "Chimap.nii.gz"
_SOLVER = ("solver_iterations", "solver_residual", "solver_stopped", "reference_region", "reference_value")
_SIGN = ("iron_contrast", "chi_r2star_correlation")
ROWS = (
    Row("S0map.nii.gz", "signal at TE = 0", "magnitude", caption="Even signal without ghosts or dropouts."),
    Row(
        "desc-total_fieldmap.nii.gz",
        "total field",
        "field_hz",
        half_ppm=0.8,
        mask="desc-reliable_mask.nii.gz",
        caption="Smooth, without jumps; the line is the rim of the mask in which chi is defined.",
        measures=("reliable_share",),
    ),
    Row(
        "desc-local_fieldmap.nii.gz",
        "local field",
        "field_hz",
        half_ppm=0.05,
        caption="Fields of veins, nuclei, and cortex on even ground; a bright or dark rim is background.",
        measures=("rim_ratio",),
    ),
    Row(
        _CHI,
        "chi, ±100 ppb",
        "chi",
        caption="Iron-rich nuclei and veins bright, myelin dark; streaks at 55 degrees to B0 are artefacts. "
        "Outlines are regions of the session, if it has any on this grid.",
        measures=("streak_score", *_SIGN, *_SOLVER),
        outlines="*dseg.nii.gz",
    ),
    Row(
        _CHI,
        "chi in axial slices, ±100 ppb",
        "chi",
        caption="Both sides alike, without bands from slice to slice.",
        layout="lightbox",
    ),
    Row(
        _CHI,
        "chi in axial slices, ±300 ppb",
        "chi",
        window=(-0.3, 0.3),
        caption="The wide window shows veins, haemorrhages, calcifications, and errors at the rim.",
        layout="lightbox",
    ),
    Row(
        _CHI,
        "chi, smallest within 16 mm",
        "chi",
        window=(-0.3, 0.1),
        caption="Minimum intensity: calcifications and the dark lobes of streaks stand out.",
        layout="smallest",
    ),
    Row(
        _CHI,
        "chi, largest within 16 mm",
        "chi",
        window=(-0.1, 0.3),
        caption="Maximum intensity: continuous veins; broken ones are lost phase.",
        layout="largest",
    ),
    Row("minIP.nii.gz", "minimum intensity of the SWI", "magnitude"),
    Row(
        "desc-sd_Chimap.nii.gz",
        "standard deviation of chi",
        "chi",
        window=(0.0, 0.02),
        caption="From the noise of the field: largest where the signal is low.",
    ),
    Row(
        "desc-ci68_Chimap.nii.gz",
        "68 % interval of chi (half-width)",
        "chi",
        window=(0.0, 0.02),
        caption="The true value lies within this distance in 68 % of the voxels.",
    ),
    Row(
        "desc-ci95_Chimap.nii.gz",
        "95 % interval of chi (half-width)",
        "chi",
        window=(0.0, 0.05),
        caption="The true value lies within this distance in 95 % of the voxels.",
    ),
    Row("desc-paramagnetic_Chimap.nii.gz", "paramagnetic part", "chi"),
    Row("desc-diamagnetic_Chimap.nii.gz", "diamagnetic part", "chi"),
    Row("R2starmap.nii.gz", "R2*", "r2star", caption="Nuclei bright, without bands of field gradients."),
    Row("swi.nii.gz", "SWI", "magnitude", caption="Veins dark and continuous."),
)


def _open(parts: Parts, opening: Opening) -> Opened:
    found: list[InputError] = []
    try:
        files = open_gre(
            parts.get("magnitude"),
            parts.get("phase"),
            real=parts.get("real"),
            imag=parts.get("imag"),
            echo_times=opening.echo_times,
            field_strength=opening.field_strength,
            phase_units=opening.config.input.phase_units,
            repetitions=opening.config.input.repetitions,
            folders=opening.folders,
            check_size=True,
            problems=found,
        )
    except InputError:
        return Opened(None, problems=tuple(str(problem) for problem in found))
    return Opened(files.grid, len(files.echo_times), notes=(*_notes(files), *extent_notes(files.grid)))


def _notes(files: GreFiles) -> list[str]:
    notes = list(files.notes)
    for group_ in files.groups:
        notes += group_.notes
    last = files.groups[-1]
    if last.name == "phase" and any(file.sidecar.text("Units") is None for file in last.files):
        notes.append(f"{last.files[0].path}: Units: not in the sidecar; determined from the values")
    return notes


def _plan(config: Config, grid: Grid, echoes: int, roles: frozenset[str]) -> Plan:
    return plan_qsm(
        config, grid, echoes, has_mask="mask" in roles, has_labels="labels" in roles, has_r2="r2" in roles
    )


def _files(plan: Plan, name: BidsName) -> list[Path]:
    naming = Naming(name)
    return [*product_files(plan, naming, PRODUCTS, MODALITY.step), *quality_files(naming, MODALITY.step)]


def _extra_roles(settings: Mapping[str, object]) -> tuple[str, ...]:
    reference, separation = settings.get("reference"), settings.get("chi_separation")
    wanted = []
    if isinstance(reference, dict) and reference.get("region") == "labels":
        wanted.append("labels")
    if isinstance(separation, dict) and separation.get("method") == "r2prime":
        wanted.append("r2")
    return tuple(wanted)


def _protocol(facts: Mapping[str, Any]) -> tuple[str, ...]:
    times = [1000 * time for time in facts.get("EchoTimes") or ()]
    if not times:
        return ()
    span = f"{times[0]:.3g} ms" if len(times) == 1 else f"{times[0]:.3g} to {times[-1]:.3g} ms"
    return (f"{len(times)} echo{'es' if len(times) > 1 else ''} at {span}",)


def _reconstruct(
    task: Task, config: Config, device: Device, dry_run: bool, progress: ProgressCallback | None
) -> Outcome:
    return run_qsm_session(QsmRequest.of(task), config, device, dry_run=dry_run, progress=progress)


MODALITY = Modality(
    name="gre",
    step="qsm",
    title="Susceptibility mapping",
    data="Gradient-echo data",
    absent="no gradient-echo series with phase",
    datatype="anat",
    suffixes=SUFFIXES,
    queries={"gre": SUFFIXES, "megre": ("MEGRE",), "t2starw": ("T2starw",), "swi": ("swi",)},
    group=group,
    open=_open,
    sections=SECTIONS,
    plan=_plan,
    files=_files,
    reconstruct=_reconstruct,
    products=PRODUCTS,
    rows=ROWS,
    reference=REFERENCE,
    pictures=pictures,
    ignored=("*_fieldmap.*", "*_swi.*", "*_minIP.*"),
    measures=MEASURES,
    extra_roles=_extra_roles,
    protocol=_protocol,
    recommendation=RECOMMENDATION,
    dicom=DICOM,
    drawing=DRAWING,
    warm_up=warm_up,
)

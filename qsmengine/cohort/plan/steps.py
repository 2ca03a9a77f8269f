"""Steps of a session: what is made of each series, from headers, sidecars and gradient tables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from qsmengine.cohort.plan.model import Kind, Step
from qsmengine.cohort.select.segmentations import Segmentation
from qsmengine.cohort.select.series import Series
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.io.dwi import DwiFile, open_dwi
from qsmengine.io.gre_files import GreFiles, open_gre
from qsmengine.io.header import check_stored_size
from qsmengine.io.inheritance import Folders, find_inherited
from qsmengine.io.sidecars import read_sidecar
from qsmengine.modalities.dwi.maps import dti_files
from qsmengine.modalities.dwi.stages import plan_dti
from qsmengine.modalities.gre.stages import plan_qsm
from qsmengine.pipeline.configuration.config import Config
from qsmengine.pipeline.outputs.dataset import shared_files
from qsmengine.pipeline.outputs.maps import Naming, qsm_files
from qsmengine.pipeline.run.plan import Plan

SHARED = frozenset(path.name for path in shared_files(named=True))


@dataclass
class Context:
    """What all steps of a plan share.

    Parameters
    ----------
    root
        Dataset.
    config
        Of every step.
    echo_times, field_strength
        Overrides [s], [T] of what the sidecars say.
    folders
        Listings for inheritance.
    """

    root: Path
    config: Config
    echo_times: tuple[float, ...] | None = None
    field_strength: float | None = None
    folders: Folders = field(default_factory=Folders)
    _plans: dict[tuple[object, ...], Plan] = field(default_factory=dict, init=False)

    @cached_property
    def settings(self) -> dict[str, object]:
        """The configuration as a step keeps it."""
        return self.config.as_tree()

    def plan(self, kind: Kind, grid: Grid, volumes: int, *, labels: bool = False, r2: bool = False) -> Plan:
        """Plan of a session's arithmetic: the same for all grids of one shape and voxel size.

        Raises
        ------
        UsageError
            See :func:`qsmengine.pipeline.run.plan.plan_qsm`.
        """
        key = (kind, grid.shape, tuple(round(edge, 6) for edge in grid.voxel_size), volumes, labels, r2)
        if key not in self._plans:
            self._plans[key] = (
                plan_qsm(self.config, grid, volumes, has_labels=labels, has_r2=r2)
                if kind == "qsm"
                else plan_dti(self.config, grid, volumes)
            )
        return self._plans[key]

    def relative(self, text: str) -> str:
        """A message with paths relative to the dataset."""
        return text.replace(f"{self.root}/", "")


@dataclass(frozen=True)
class Planned:
    """A step with the grid its outputs are on; None where that is not known."""

    step: Step
    grid: Grid | None = None


def qsm_step(series: Series, context: Context, images: Sequence[Segmentation]) -> Planned:
    """Step of a gradient-echo series; what is wrong with it stands in its problems.

    `images` are those of the session's segmentations and R2 maps.
    """
    files, problems = None, list(series.problems)
    if not problems:
        files, problems = _open_gre(series, context)
    notes = list(series.notes)
    inputs = dict(series.parts)
    options: dict[str, object] = {"name": series.name.filename}
    if context.echo_times is not None:
        options["echo_times"] = list(context.echo_times)
    if context.field_strength is not None:
        options["field_strength"] = context.field_strength
    step = Step(
        name=series.step_name, kind="qsm", inputs=inputs, settings=context.settings, options=options,
        problems=tuple(problems), notes=tuple(notes),
    )  # fmt: skip
    if files is None:
        return Planned(step)
    notes += [context.relative(note) for note in _gre_notes(files)]
    inputs |= _beside(files.grid, context, images, problems, notes)
    echoes = len(files.echo_times)
    change: dict[str, object] = {"voxels": files.grid.size * echoes}
    try:
        plan = context.plan("qsm", files.grid, echoes, labels="labels" in inputs, r2="r2" in inputs)
    except UsageError as error:
        problems.append(str(error))
    else:
        names = qsm_files(plan, Naming.of(Path(series.name.filename)))
        outputs = tuple(path.as_posix() for path in names if path.name not in SHARED)
        change |= {"outputs": outputs, "memory": plan.memory}
        notes += plan.notes
    change |= {"inputs": inputs, "problems": tuple(problems), "notes": tuple(notes)}
    return Planned(step.model_copy(update=change), files.grid)


def _open_gre(series: Series, context: Context) -> tuple[GreFiles | None, list[str]]:
    parts = {part: [context.root / path for path in paths] for part, paths in series.parts.items()}
    problems: list[InputError] = []
    try:
        files = open_gre(
            parts.get("magnitude"),
            parts.get("phase"),
            real=parts.get("real"),
            imag=parts.get("imag"),
            echo_times=context.echo_times,
            field_strength=context.field_strength,
            phase_units=context.config.input.phase_units,
            folders=context.folders,
            check_size=True,
            problems=problems,
        )
    except InputError:
        return None, [context.relative(str(problem)) for problem in problems]
    except UsageError as error:
        return None, [f"{series.name.filename}: {error}"]
    return files, []


def _gre_notes(files: GreFiles) -> list[str]:
    notes = list(files.notes)
    for group in files.groups:
        notes += group.notes
    last = files.groups[-1]
    if last.name == "phase" and any(file.sidecar.text("Units") is None for file in last.files):
        notes.append(f"{last.files[0].path}: Units: not in the sidecar; decided from the values")
    return notes


def _beside(
    grid: Grid, context: Context, images: Sequence[Segmentation], problems: list[str], notes: list[str]
) -> dict[str, tuple[str, ...]]:
    """Labels for the reference and R2 map, where the configuration asks for them."""
    found: dict[str, tuple[str, ...]] = {}
    for role in _wanted(context.settings):
        fitting = [image for image in images if image.role == role and image.on(grid)]
        if len(fitting) == 1:
            found[role] = (fitting[0].path,)
            notes.append(f"{role}: {fitting[0].path}")
        else:
            which = ", ".join(image.path for image in fitting) or "none"
            problems.append(f"{role}: one image on the grid of the series is needed, there is {which}")
    return found


def _wanted(settings: Mapping[str, object]) -> list[str]:
    reference, separation = settings.get("reference"), settings.get("chi_separation")
    wanted = []
    if isinstance(reference, dict) and reference.get("region") == "labels":
        wanted.append("labels")
    if isinstance(separation, dict) and separation.get("method") == "r2prime":
        wanted.append("r2")
    return wanted


def dti_step(series: Series, context: Context) -> Planned:
    """Step of a diffusion series; what is wrong with it stands in its problems."""
    problems, notes = list(series.problems), list(series.notes)
    inputs = dict(series.parts)
    folder = series.name.folder / "dwi"
    stem = series.name.filename.removesuffix("_dwi.nii.gz")
    prefix = (folder / stem).as_posix()
    change: dict[str, object] = {}
    file = None
    if not problems:
        file, tables = _open_dwi(context, inputs["dwi"][0], problems)
        inputs |= tables
    if file is not None:
        volumes = len(file.volumes)
        plan = context.plan("dti", file.grid, volumes)
        notes += [context.relative(note) for note in file.notes] + _multipart(context, file.path)
        notes += plan.notes
        outputs = tuple(path.as_posix() for path in dti_files(plan, prefix, "bids") if path.name not in SHARED)
        change = {"outputs": outputs, "memory": plan.memory, "voxels": file.grid.size * volumes}
    step = Step(
        name=series.step_name, kind="dti", inputs=inputs, settings=context.settings,
        options={"prefix": prefix}, problems=tuple(problems), notes=tuple(notes),
    )  # fmt: skip
    return Planned(step.model_copy(update=change), None if file is None else file.grid)


def _open_dwi(
    context: Context, image: str, problems: list[str]
) -> tuple[DwiFile | None, dict[str, tuple[str, ...]]]:
    tables: dict[str, Path] = {}
    errors: list[InputError] = []
    for role in ("bval", "bvec"):
        try:
            tables[role] = find_inherited(context.root / image, f".{role}", context.folders)
        except InputError as error:
            errors.append(error)
    file = None
    if not errors:
        try:
            file = open_dwi(
                context.root / image,
                tables["bval"],
                tables["bvec"],
                b0_threshold=context.config.b0_threshold,
            )
            check_stored_size(file.header)
        except InputError as error:
            errors, file = [error], None
    problems += [context.relative(str(error)) for error in errors]
    return file, {role: (path.relative_to(context.root).as_posix(),) for role, path in tables.items()}


def _multipart(context: Context, image: Path) -> list[str]:
    """A note where the sidecar calls the series one part of several."""
    try:
        label = read_sidecar(image, context.folders).values.get("MultipartID")
    except InputError as error:
        return [context.relative(str(error))]
    if label is None:
        return []
    return [f"MultipartID {label}: one of several parts; each is fitted by itself"]

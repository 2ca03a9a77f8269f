"""Planning of a session's steps, one per series, from headers, sidecars and tables only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from qsmengine.cohort.plan.model import Step
from qsmengine.cohort.select.segmentations import Segmentation
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.io.inheritance import Folders
from qsmengine.modalities.modality import Modality, Opened, Opening
from qsmengine.modalities.series import Series
from qsmengine.pipeline.configuration.model import Config, part_of
from qsmengine.pipeline.outputs.dataset import shared_files
from qsmengine.pipeline.run.plan import Plan

SHARED = frozenset(path.name for path in shared_files(named=True))


@dataclass
class Context:
    """Properties shared by all steps of a plan.

    Parameters
    ----------
    root
        Root of the dataset.
    config
        Configuration of every step.
    echo_times, field_strength
        Values [s], [T] that override the sidecars.
    folders
        Listings of folders, used for inheritance.
    """

    root: Path
    config: Config
    echo_times: tuple[float, ...] | None = None
    field_strength: float | None = None
    folders: Folders = field(default_factory=Folders)
    _plans: dict[tuple[object, ...], Plan] = field(default_factory=dict, init=False)

    @cached_property
    def settings(self) -> dict[str, object]:
        """Configuration as nested values; a step stores the sections of its modality."""
        return self.config.as_tree()

    @cached_property
    def overrides(self) -> dict[str, object]:
        """Options stored in every step."""
        found: dict[str, object] = {}
        if self.echo_times is not None:
            found["echo_times"] = list(self.echo_times)
        if self.field_strength is not None:
            found["field_strength"] = self.field_strength
        return found

    @cached_property
    def opening(self) -> Opening:
        """Settings for opening a series."""
        return Opening(self.config, self.echo_times, self.field_strength, self.folders)

    def plan(self, modality: Modality, opened: Opened, grid: Grid, roles: frozenset[str]) -> Plan:
        """Return the plan of a session's computation, shared by all grids of one shape and voxel size.

        Raises
        ------
        UsageError
            If a method needs data that neither the inputs nor an earlier step provides.
        """
        edges = tuple(round(edge, 6) for edge in grid.voxel_size)
        key = (modality.name, grid.shape, edges, opened.volumes, roles)
        if key not in self._plans:
            self._plans[key] = modality.plan(self.config, grid, opened.volumes, roles)
        return self._plans[key]

    def relative(self, text: str) -> str:
        """Return a message with paths relative to the dataset."""
        return text.replace(f"{self.root}/", "")


@dataclass(frozen=True)
class Planned:
    """A step with the grid of its outputs; None if that is unknown."""

    step: Step
    grid: Grid | None = None


def plan_step(modality: Modality, series: Series, context: Context, images: Sequence[Segmentation]) -> Planned:
    """Return the step of a series; errors are listed in its problems.

    `images` are the session's segmentations, masks of lesions and R2 maps.
    """
    problems, notes = list(series.problems), list(series.notes)
    inputs = dict(series.parts)
    options = {"name": series.name.filename, **context.overrides}
    change: dict[str, object] = {}
    opened = Opened(None)
    if not problems:
        parts = {part: [context.root / path for path in paths] for part, paths in series.parts.items()}
        try:
            opened = modality.open(parts, context.opening)
        except UsageError as error:
            problems.append(f"{series.name.filename}: {error}")
        problems += map(context.relative, opened.problems)
        inputs = {role: paths for role, paths in inputs.items() if role not in opened.unused}
        inputs |= {
            role: tuple(path.relative_to(context.root).as_posix() for path in paths)
            for role, paths in opened.inputs.items()
        }
    if opened.grid is not None:
        notes += map(context.relative, opened.notes)
        wanted = modality.extra_roles(context.settings)
        inputs |= _from_derivatives(wanted, opened.grid, images, problems, notes)
        inputs |= _if_present(modality.optional_roles, opened.grid, images, problems, notes)
        change["voxels"] = opened.grid.size * opened.volumes
        try:
            plan = context.plan(modality, opened, opened.grid, frozenset(inputs))
        except UsageError as error:
            problems.append(str(error))
        else:
            names = modality.files(plan, series.name)
            outputs = tuple(path.as_posix() for path in names if path.name not in SHARED)
            change |= {"outputs": outputs, "memory": plan.memory}
            notes += plan.notes
    step = Step(
        name=series.step_name, kind=modality.step, inputs=inputs, options=options,
        settings=part_of(context.settings, modality.sections_with(sorted(inputs))),
        problems=tuple(problems), notes=tuple(notes),
    )  # fmt: skip
    return Planned(step.model_copy(update=change), opened.grid)


def _from_derivatives(
    wanted: Sequence[str], grid: Grid, images: Sequence[Segmentation], problems: list[str], notes: list[str]
) -> dict[str, tuple[str, ...]]:
    """Return the derivative images that the configuration requires: labels for the reference, an R2 map."""
    found: dict[str, tuple[str, ...]] = {}
    for role in wanted:
        fitting = [image for image in images if image.role == role and image.on(grid)]
        if len(fitting) == 1:
            found[role] = (fitting[0].path,)
            notes.append(f"{role}: {fitting[0].path}")
        else:
            which = ", ".join(image.path for image in fitting) or "none"
            problems.append(f"{role}: exactly one image on the grid of the series is needed, found {which}")
    return found


def _if_present(
    roles: Sequence[str], grid: Grid, images: Sequence[Segmentation], problems: list[str], notes: list[str]
) -> dict[str, tuple[str, ...]]:
    """Return the derivative images that a modality uses where a session has one on the grid of its series."""
    found: dict[str, tuple[str, ...]] = {}
    for role in roles:
        known = [image for image in images if image.role == role]
        fitting = [image.path for image in known if image.on(grid)]
        if len(fitting) > 1:
            problems.append(
                f"{role}: at most one image on the grid of the series is used, found {', '.join(fitting)}"
            )
        elif fitting:
            found[role] = (fitting[0],)
            notes.append(f"{role}: {fitting[0]}")
        else:
            notes += [f"{image.path}: not on the grid of the series, not used" for image in known]
    return found

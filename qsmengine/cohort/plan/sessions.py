"""Planning of sessions; large cohorts are planned by several processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from typing import Any

from qsmengine.backend.device import available_threads
from qsmengine.cohort.plan.atlas_steps import atlas_steps
from qsmengine.cohort.plan.model import REGIONS, REGISTRATION, Session, Step
from qsmengine.cohort.plan.own_regions import own_region_steps, placeable, registration_steps, segmented
from qsmengine.cohort.plan.region_steps import region_steps
from qsmengine.cohort.plan.steps import Context, Planned, plan_step
from qsmengine.cohort.select.dataset import SessionFiles
from qsmengine.cohort.select.filters import ImageFilter
from qsmengine.cohort.select.segmentations import Derivatives
from qsmengine.cohort.select.series import borrowed_series, group_series, with_companions
from qsmengine.modalities.registry import all_modalities, missing_reason, step_names
from qsmengine.ops.registration import available
from qsmengine.pipeline.configuration.config import validate

PER_PROCESS = 250
"""Number of sessions that justifies one more process."""
SHOWN = 2
"""Reasons shown for a session without a step."""
CHUNK = 10
"""Number of sessions handed to a process at a time."""


@dataclass(frozen=True)
class Planner:
    """Plans sessions one by one.

    Parameters
    ----------
    context
        Properties shared by all steps.
    derivatives
        Datasets with segmentations.
    image_filter
        Selects images; None keeps all.
    kinds
        Kinds of steps to plan.
    required
        Whether every session must have every kind.
    atlases
        Atlases that are brought to susceptibility maps.
    """

    context: Context
    derivatives: Derivatives
    image_filter: ImageFilter | None
    kinds: Sequence[str]
    required: bool
    atlases: Sequence[str] = ()

    def plan(self, files: SessionFiles) -> Session:
        """Plan a session; unreadable files are listed as its problem."""
        try:
            return self._plan(files)
        except OSError as error:
            reason = f"{files.folder}: {error.filename or 'a file'} cannot be read: {error.strerror or error}"
            problems = (self.context.relative(reason),)
            return Session(subject=files.subject, session=files.session, problems=problems)

    def _plan(self, files: SessionFiles) -> Session:
        files = files if self.image_filter is None else self.image_filter.apply(files)
        series, notes = group_series(files)
        borrowed = borrowed_series(files) if REGISTRATION in self.kinds and available() else []
        series = [one for one in [*series, *(borrowed if series else [])] if one.kind in self.kinds]
        series, more = with_companions(series, files, self.kinds)
        notes += more
        images, more = self.derivatives.find(files.subject, files.session) if series else ([], [])
        notes += more
        planned = [
            plan_step(modality, one, self.context, images)
            for modality in all_modalities()
            for one in series
            if one.kind == modality.step
        ]
        steps = without_clashes(one.step for one in planned)
        regions, more = region_steps(planned, images)
        if REGIONS in self.kinds:
            notes += more
        steps += self._placed(planned, regions, notes)
        steps += _unreadable(files, steps, self.kinds)
        if self.required:
            steps += _absent(steps, self.kinds, files.folder)
        return Session(
            subject=files.subject,
            session=files.session,
            steps=tuple(steps),
            problems=() if steps else (_nothing(files),),
            notes=(*files.notes, *notes),
        )

    def _placed(self, planned: Sequence[Planned], given: Sequence[Step], notes: list[str]) -> list[Step]:
        """Return registrations of series without labels on their grid, and the region tables of all series."""
        covered = {name for step in given for name in step.after}
        series, anatomy = placeable(planned, covered), segmented(planned)
        registered = list[tuple[Planned, Step]]()
        if anatomy is not None and REGISTRATION in self.kinds and available():
            registered = registration_steps(series, anatomy, notes)
        own = [] if anatomy is None else own_region_steps(registered, anatomy.step, volumes=not given)
        nuclei = atlas_steps(registered, self.atlases, notes) if self.atlases and available() else []
        return [
            *(step for _, step in registered),
            *([*given, *own] if REGIONS in self.kinds else []),
            *nuclei,
        ]


def _nothing(files: SessionFiles) -> str:
    """Return why a session has no step, with what was left out of it if that is all it holds."""
    left_out = "" if files.files or not files.notes else f" ({'; '.join(files.notes[:SHOWN])})"
    return f"{files.folder}: no series for any step{left_out}"


def plan_sessions(
    planner: Planner, scanned: Sequence[SessionFiles], jobs: int | None = None
) -> Iterator[Session]:
    """Yield the plan of every session in order.

    Parameters
    ----------
    planner
        Plans one session.
    scanned
        Files of the sessions.
    jobs
        Number of processes; None starts up to one per core for a large cohort.
    """
    processes = jobs or min(available_threads(), len(scanned) // PER_PROCESS)
    done = 0
    if processes > 1:
        start: tuple[tuple[Any, Any], Sequence[str]] = (_recipe(planner), step_names())
        pool = ProcessPoolExecutor(
            processes, mp_context=get_context("spawn"), initializer=_start, initargs=start
        )
        try:
            for session in pool.map(_plan_in_process, scanned, chunksize=CHUNK):
                yield session
                done += 1
        except BrokenProcessPool:  # such as a script that starts other processes when it is imported
            pass
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    yield from map(planner.plan, islice(scanned, done, None))


_planner: list[Planner] = []


def _recipe(planner: Planner) -> tuple[Any, Any]:
    """Return a planner's parts for other processes; the configuration's class exists in this one only."""
    context = planner.context
    parts = (context.root, context.settings, context.echo_times, context.field_strength)
    return parts, (
        planner.derivatives, planner.image_filter, planner.kinds, planner.required, planner.atlases
    )  # fmt: skip


def _start(recipe: tuple[Any, Any], known: Sequence[str]) -> None:
    """Make the planner of this process; raises RuntimeError if the parent knows other modalities."""
    if step_names() != known:
        raise RuntimeError("modalities were registered in the parent process only")
    (root, settings, *overrides), others = recipe
    _planner[:] = [Planner(Context(root, validate(settings), *overrides), *others)]


def _plan_in_process(files: SessionFiles) -> Session:
    return _planner[0].plan(files)


def without_clashes(steps: Iterable[Step]) -> list[Step]:
    """Block steps that would write a file of an earlier one."""
    writers: dict[str, str] = {}
    found = []
    for step in steps:
        clash = next((name for name in step.outputs if name in writers), None)
        if clash is not None:
            problem = f"{clash}: step {writers[clash]} writes this file, too; add acq- to the images of one"
            step = step.model_copy(update={"problems": (*step.problems, problem)})  # noqa: PLW2901
        writers |= {name: step.name for name in step.outputs if name not in writers}
        found.append(step)
    return found


def _unreadable(files: SessionFiles, steps: Sequence[Step], kinds: Sequence[str]) -> list[Step]:
    """Return blocked steps for the images that unreadable folders may hold."""
    blocked: dict[str, list[str]] = {}
    for path, problem in files.unreadable.items():
        folder = path.rpartition("/")[2]
        own = [modality.step for modality in all_modalities() if modality.datatype == folder]
        for kind in own or [all_modalities()[0].step]:
            if kind in kinds and kind not in {step.kind for step in steps}:
                blocked.setdefault(kind, []).append(problem)
    return [Step(name=kind, kind=kind, inputs={}, problems=tuple(texts)) for kind, texts in blocked.items()]


def _absent(steps: Sequence[Step], kinds: Sequence[str], folder: str) -> list[Step]:
    """Return blocked steps for the kinds that a session has no images for."""
    there = {step.kind for step in steps}
    if all(step.problems for step in steps):
        kinds = [kind for kind in kinds if kind != REGIONS]
    return [
        Step(name=kind, kind=kind, inputs={}, problems=(f"{folder}: {missing_reason(kind)}",))
        for kind in kinds
        if kind not in there
    ]

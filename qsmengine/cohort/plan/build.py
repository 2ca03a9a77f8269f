"""Planning of a cohort: every session with its steps, from names, headers, sidecars and tables only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from qsmengine.cohort.plan.atlas_steps import check_atlases
from qsmengine.cohort.plan.model import ATLAS, REGIONS, REGISTRATION, CohortPlan, Session
from qsmengine.cohort.plan.own_regions import could_register
from qsmengine.cohort.plan.sessions import Planner, plan_sessions
from qsmengine.cohort.plan.steps import Context
from qsmengine.cohort.select.dataset import Ignored, SessionFiles, list_subjects, scan_subject
from qsmengine.cohort.select.filters import choose, read_filter
from qsmengine.cohort.select.segmentations import Derivatives
from qsmengine.cohort.select.series import with_first_structures
from qsmengine.errors import UsageError, shorten
from qsmengine.modalities.registry import missing_reason, step_names
from qsmengine.ops.registration import MISSING, available
from qsmengine.pipeline.configuration.messages import near
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.staging import check_output
from qsmengine.stats.labels.tables import load_label_table

OnSession: TypeAlias = Callable[[Session], None]


def plan_cohort(
    bids: str | Path,
    out: str | Path,
    config: Config,
    *,
    participants: Iterable[str] | None = None,
    sessions: Iterable[str] | None = None,
    filter_file: str | Path | None = None,
    derivatives: Sequence[str | Path] = (),
    steps: Iterable[str] | None = None,
    lut: str | None = None,
    atlases: Iterable[str] = (),
    echo_times: Sequence[float] | None = None,
    field_strength: float | None = None,
    on_session: OnSession | None = None,
) -> CohortPlan:
    """Plan a cohort; only the headers of images are read, and nothing is written.

    Parameters
    ----------
    bids, out
        Raw dataset, and folder of the derivatives.
    config
        Configuration of every step.
    participants, sessions
        Labels, with or without ``sub-`` and ``ses-``; None selects all.
    filter_file
        See :func:`qsmengine.cohort.select.filters.read_filter`.
    derivatives
        Datasets with segmentations, in addition to those in ``bids/derivatives``.
    steps
        Kinds of steps required in every session; missing images are a problem. None plans the steps for
        which there are images and notes the others.
    lut
        Table for segmentations without a table: a built-in name or a file.
    atlases
        Bundled atlases whose nuclei are brought to susceptibility maps: "cit168", "thalamus-hcp".
    echo_times, field_strength
        [s], [T]; override the sidecars.
    on_session
        Called with each session once it is planned.

    Raises
    ------
    UsageError
        If the dataset has no subjects, the output folder lies inside the raw data, or a label, filter, step or
        atlas does not exist.
    """
    root, target = Path(bids).absolute(), Path(out).absolute()
    subjects, notes = list_subjects(root)
    check_folders(root, target)
    kinds = _kinds(steps)
    nuclei = check_atlases(atlases, kinds)
    if lut is not None:
        load_label_table(lut)
    ignored = Ignored.of(root)
    notes += [f".bidsignore: {line!r} is not supported" for line in ignored.unread]
    notes += _results_without_data(root, target)
    images = Derivatives(root, target, [Path(folder).absolute() for folder in derivatives], lut)
    times = None if echo_times is None else tuple(float(time) for time in echo_times)
    context = Context(root, config, times, field_strength)
    chosen = choose(participants, subjects, "sub-", "--participant-label")
    visits = (with_first_structures(scan_subject(root, subject, ignored)) for subject in chosen)
    scanned = [files for sessions_of_one in visits for files in sessions_of_one]
    scanned = _of_sessions(scanned, sessions)
    image_filter = None if filter_file is None else read_filter(filter_file)
    planner = Planner(context, images, image_filter, kinds, steps is not None, nuclei)
    planned = []
    for session in plan_sessions(planner, scanned):
        planned.append(session)
        if on_session is not None:
            on_session(session)
    planned = planned if steps is not None else _note_missing(planned)
    notes += _without_registration(planned, kinds)
    if nuclei and not available():
        notes.append(f"{ATLAS}: {MISSING}; no atlas is brought to the maps")
    return CohortPlan(str(root), str(target), tuple(planned), (*notes, *images.notes))


def _results_without_data(root: Path, target: Path) -> list[str]:
    """Return a note on subjects and sessions of the output folder that the dataset does not have (any more)."""
    gone = []
    for folder in sorted(target.glob("sub-*/")):
        if not (root / folder.name).exists():
            gone.append(folder.name)
        else:
            sessions = (one.relative_to(target) for one in sorted(folder.glob("ses-*/")))
            gone += [one.as_posix() for one in sessions if not (root / one).exists()]
    if not gone:
        return []
    text = f"the output folder holds results of {shorten(gone)}, which the dataset does not have"
    return [f"{text}; tables, pages and group models still count them: remove them if they were renamed"]


def _without_registration(sessions: Iterable[Session], kinds: Sequence[str]) -> list[str]:
    """Return a note if the package is missing that would bring regions of T1-weighted images to the maps."""
    if REGISTRATION not in kinds or available() or not any(could_register(session) for session in sessions):
        return []
    return [f"{REGISTRATION}: {MISSING}; series without labels on their grid have no region table"]


def check_folders(root: Path, target: Path) -> None:
    """Raise UsageError if outputs would be written among the raw data."""
    dataset, folder = root.resolve(), target.resolve()
    if folder == dataset:
        raise UsageError(f"the output folder is the dataset {root}; use {root / 'derivatives'}/NAME")
    if folder.is_relative_to(dataset) and folder.relative_to(dataset).parts[0] != "derivatives":
        raise UsageError(
            f"output folder {target} lies inside the raw dataset {root}; use {root / 'derivatives'}/NAME"
        )
    check_output(target, (), (), force=True)


def all_kinds() -> tuple[str, ...]:
    """Return the kinds of steps: those of the modalities, registration, and region tables."""
    return (*step_names(), REGISTRATION, REGIONS)


def _kinds(steps: Iterable[str] | None) -> tuple[str, ...]:
    known = all_kinds()
    if steps is None:
        return known
    wanted = tuple(steps)
    for name in wanted:
        if name not in known:
            raise UsageError(f"--steps: unknown step {near(name, known)}")
    if REGISTRATION in wanted and not available():
        raise UsageError(f"--steps {REGISTRATION}: {MISSING}")
    if not set(wanted) - {REGISTRATION, REGIONS}:
        raise UsageError(f"--steps: add {' or '.join(step_names())}: region tables need their maps")
    return tuple(kind for kind in known if kind in wanted)


def _of_sessions(scanned: list[SessionFiles], wanted: Iterable[str] | None) -> list[SessionFiles]:
    if wanted is None:
        return scanned
    known = sorted({files.session for files in scanned if files.session is not None})
    chosen = choose(wanted, known, "ses-", "--session-label")
    return [files for files in scanned if files.session in chosen]


def _note_missing(sessions: Sequence[Session]) -> list[Session]:
    """Return the sessions with a note on every kind of step that they lack and other sessions have."""
    usual = {step.kind for session in sessions for step in session.steps}
    done = []
    for session in sessions:
        missing = [
            kind for kind in all_kinds() if kind in usual and kind not in {s.kind for s in session.steps}
        ]
        notes = tuple(f"{kind}: {missing_reason(kind)}" for kind in missing)
        done.append(session.model_copy(update={"notes": (*session.notes, *notes)}) if notes else session)
    return done

"""Records of a cohort run: sessions with their planned steps, and the outcome of each step.

All records are plain data that JSON preserves on the way to a worker and to and from the ledger. Paths are
POSIX text relative to the dataset (inputs) or to the output folder (outputs), so a session has the same
meaning on every machine that sees the two folders.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from qsmengine.modalities.quality import QUALITY_NOTE

REGIONS, REGISTRATION, ATLAS = "regions", "registration", "atlas"
"""Kinds of the steps that tabulate maps, and that bring regions and atlases to their grids; others belong to
modalities."""
State: TypeAlias = Literal["waiting", "running", "done", "failed", "blocked"]
"""blocked: an input is missing (known before the run), or an earlier step failed."""


def _below(name: str) -> str:
    """Check that an output lies below the output folder, since the file of that name may be removed."""
    parts = set(name.split("/"))
    if name.startswith("/") or ".." in parts or parts <= {"", "."}:
        raise ValueError(f"{name!r} is not a file below the output folder")
    return name


class Step(BaseModel):
    """One reconstruction of a session.

    Parameters
    ----------
    name
        Unique in the session: the kind and the entities that distinguish it ("qsm_acq-fine_run-1").
    kind
        Kind of reconstruction.
    inputs
        Role -> files relative to the dataset: the parts of the series, its tables, "labels", "r2", "lut" (a
        table that is a file).
    outputs
        Files relative to the output folder, as listed by a dry run; without dataset_description.json, which
        all steps share.
    after
        Names of the session's steps that must run first; a region table reads their maps.
    uses
        Names of the session's steps that run first, and whose results it uses where they succeeded.
    settings
        Section -> values: the whole configuration as written by `Config`.
    options
        Inputs other than files: "name" (BIDS name that the outputs are named after), "echo_times" [s] and
        "field_strength" [T]; for a regions step "lut" (name of a built-in table, or a file as in `inputs`).
    memory
        Estimated memory on the device [bytes].
    voxels
        Size of the largest array (all echoes or volumes).
    problems
        Reasons why it cannot run: one readable line each, naming file and field. Empty if it can run.
    notes
        Decisions made while planning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    inputs: dict[str, tuple[str, ...]]
    outputs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    settings: dict[str, object] = Field(default_factory=dict)
    options: dict[str, object] = Field(default_factory=dict)
    memory: int = 0
    voxels: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Session(BaseModel):
    """A subject's visit: `subject` and `session` are labels without "sub-" and "ses-"; session may be None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    session: str | None = None
    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    """Reasons why none of its steps can run; a step lists its reasons itself."""
    notes: tuple[str, ...] = ()
    """Images that were left out, and kinds of steps that the session lacks."""

    @property
    def key(self) -> str:
        """``sub-X`` or ``sub-X_ses-Y``, as used in file names and messages."""
        return f"sub-{self.subject}" if self.session is None else f"sub-{self.subject}_ses-{self.session}"

    @property
    def memory(self) -> int:
        """Largest memory that any of its steps needs [bytes]."""
        return max((step.memory for step in self.steps), default=0)


class StepRecord(BaseModel):
    """Record of a step in the ledger.

    Parameters
    ----------
    state
        State of the step.
    fingerprint
        SHA-256 of everything that determines the results: contents of the inputs, configuration, engine,
        kernels, kind of device. A step with the same fingerprint and complete outputs is not run again.
    inputs, outputs
        File -> SHA-256 of its contents; "" for an output that may be unfinished.
    reason
        Reason for a failure: one readable line.
    notes
        Decisions and corrections made while loading and computing.
    seconds, peak_memory
        Wall time [s] and largest memory [bytes] of the process while it ran.
    device, worker
        Device and worker on which it ran.
    attempts
        Number of times that it was begun.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    fingerprint: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)
    outputs: dict[Annotated[str, AfterValidator(_below)], str] = Field(default_factory=dict)
    reason: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_memory: int = 0
    device: str = ""
    worker: str = ""
    attempts: int = 0


class SessionRecord(BaseModel):
    """A session in the ledger: one JSON file, replaced as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str
    steps: dict[str, StepRecord] = Field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Failed or blocked if any step is (or none can run), done if all are, else the furthest state."""
        states = {record.state for record in self.steps.values()}
        if self.problems:
            return "blocked"
        for state in ("failed", "blocked", "running", "waiting"):
            if state in states:
                return state
        return "done" if states else "waiting"


@dataclass(frozen=True)
class CohortPlan:
    """Sessions in the order in which they will run, with the folders of their files.

    Parameters
    ----------
    bids, out
        Absolute folders of the dataset and of the derivatives.
    sessions
        Sessions with their steps; those that cannot run list their problems.
    notes
        Decisions about the dataset as a whole.
    """

    bids: str
    out: str
    sessions: tuple[Session, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def runnable(self) -> tuple[Session, ...]:
        """Sessions with at least one step that can run."""
        return tuple(s for s in self.sessions if not s.problems and any(not p.problems for p in s.steps))


def outside_ranges(record: SessionRecord) -> list[str]:
    """Return the steps of a session that are done and have a quality measure outside its range."""
    return [
        name
        for name, step in record.steps.items()
        if step.state == "done" and any(note.startswith(QUALITY_NOTE) for note in step.notes)
    ]


def reasons_of(record: SessionRecord) -> list[str]:
    """Return the reasons why a session failed or is blocked: one line each, with the step's name."""
    own = list(record.problems)
    return own + [
        f"{name}: {step.reason}" for name, step in record.steps.items() if step.state in {"failed", "blocked"}
    ]

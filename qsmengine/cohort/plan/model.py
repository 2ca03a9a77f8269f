"""What a cohort run is made of: sessions with their steps, and what is known of each step afterwards.

Everything here is plain data that goes through JSON unchanged: to a worker, into the ledger and out of it.
Paths are POSIX text relative to the dataset (inputs) or to the output folder (outputs); a session means the
same on every machine that sees the two folders.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

REGIONS = "regions"
"""Kind of the steps that tabulate maps; the other kinds are the modalities'."""
State: TypeAlias = Literal["waiting", "running", "done", "failed", "blocked"]
"""blocked: a piece is missing (known before the run), or a step before it failed."""


def _below(name: str) -> str:
    """Check that an output's name stays below the output folder, whose file may be removed by that name."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{name!r} is not a file below the output folder")
    return name


class Step(BaseModel):
    """One reconstruction of a session.

    Parameters
    ----------
    name
        Unique in the session: the kind, with the entities that tell it from its like ("qsm_acq-fine_run-1").
    kind
        What runs.
    inputs
        Role -> files relative to the dataset: the parts of the series, its tables, "labels", "r2", "lut" (a
        table that is a file).
    outputs
        Files relative to the output folder, as a dry run names them; without dataset_description.json, which
        all steps share.
    after
        Names of steps of this session that come first; a region table takes its maps from their outputs.
    settings
        Section -> values: the whole configuration as `Config` dumps it.
    options
        Beside the files: "name" (BIDS name that the outputs are named after), "echo_times" [s] and
        "field_strength" [T]; of a regions step "lut" (a built-in table's name, or a file as inputs are).
    memory
        Estimated bytes on the device.
    voxels
        Of the largest array (all echoes or volumes).
    problems
        Why it cannot run: one readable line each, naming file and field. Empty for a step that can.
    notes
        What the plan decided.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    inputs: dict[str, tuple[str, ...]]
    outputs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
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
    """Why nothing of it can run; those of a step stand there."""
    notes: tuple[str, ...] = ()
    """What was left out of it, and what it lacks beside its steps."""

    @property
    def key(self) -> str:
        """``sub-X`` or ``sub-X_ses-Y``: its name in files and messages."""
        return f"sub-{self.subject}" if self.session is None else f"sub-{self.subject}_ses-{self.session}"

    @property
    def memory(self) -> int:
        """Largest need of any of its steps [bytes]."""
        return max((step.memory for step in self.steps), default=0)


class StepRecord(BaseModel):
    """What the ledger keeps of a step.

    Parameters
    ----------
    state
        Where it stands.
    fingerprint
        SHA-256 over what decides its results: contents of the inputs, configuration, engine, kernels, kind
        of device. A step of the same fingerprint whose outputs are there is not run again.
    inputs, outputs
        File -> SHA-256 of its contents; of outputs that may be there unfinished or incomplete "".
    reason
        Of failure: one readable line.
    notes
        What loading and computing decided or mended.
    seconds, peak_memory
        Wall time [s] and largest memory [bytes] of the process while it ran.
    device, worker
        Where it ran.
    attempts
        How often it was begun.
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
        """Failed or blocked where any step is (or nothing can run), done where all are, else the furthest."""
        states = {record.state for record in self.steps.values()}
        if self.problems:
            return "blocked"
        for state in ("failed", "blocked", "running", "waiting"):
            if state in states:
                return state
        return "done" if states else "waiting"


@dataclass(frozen=True)
class CohortPlan:
    """Sessions in the order they will run, and where their files are.

    Parameters
    ----------
    bids, out
        Absolute folders of the dataset and of the derivatives.
    sessions
        With their steps; those that cannot run have problems.
    notes
        Decisions that concern the dataset as a whole.
    """

    bids: str
    out: str
    sessions: tuple[Session, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def runnable(self) -> tuple[Session, ...]:
        """Sessions of which at least one step can run."""
        return tuple(s for s in self.sessions if not s.problems and any(not p.problems for p in s.steps))


def reasons_of(record: SessionRecord) -> list[str]:
    """Why a session failed or is blocked: one line each, with the step's name."""
    own = list(record.problems)
    return own + [
        f"{name}: {step.reason}" for name, step in record.steps.items() if step.state in {"failed", "blocked"}
    ]

"""What goes to a worker beside a session, and what comes back: plain data that goes through JSON unchanged."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from qsmengine.cohort.ledger.leases import EXPIRY
from qsmengine.cohort.plan.model import SessionRecord


class Options(BaseModel):
    """How sessions of a run are executed; the same for all of them.

    Parameters
    ----------
    run
        Name of the run.
    device, threads
        As ``--device`` and ``--threads`` give them, for each worker.
    memory
        Bytes that a diffusion fit may take.
    force
        Run steps again whose inputs and configuration did not change.
    expiry
        Seconds after which a silent claim is taken over.
    spread
        GPUs of the machine that workers share out by their numbers; 0 where `device` says all.
    fall_back
        Whether a step may go to the CPU where a GPU's memory does not suffice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    device: str = "auto"
    threads: int | None = None
    memory: int | None = None
    force: bool = False
    expiry: float = EXPIRY
    spread: int = 0
    fall_back: bool = False


class SessionOutcome(BaseModel):
    """What became of a session in a worker.

    Parameters
    ----------
    session
        Key.
    record
        Its ledger; None where another run holds it.
    ran
        Steps that were computed; others were done before, or could not run.
    unwritable
        Why nothing can be written any more; "" where it can.
    stopped
        Whether it was left unfinished because the run is to end.
    note
        About the ledger.
    seconds
        Wall time in the worker [s].
    worker
        Process that worked on it.
    """

    session: str
    record: SessionRecord | None = None
    ran: tuple[str, ...] = ()
    unwritable: str = ""
    stopped: bool = False
    note: str = ""
    seconds: float = 0.0
    worker: str = ""

"""Options that a worker receives with a session, and the outcome that it returns, as plain data for JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from qsmengine.cohort.ledger.leases import EXPIRY
from qsmengine.cohort.plan.model import SessionRecord


class Options(BaseModel):
    """Options of a run, the same for all sessions.

    Parameters
    ----------
    run
        Name of the run.
    device, threads
        As ``--device`` and ``--threads`` give them, for each worker.
    memory
        Memory [bytes] that a step that divides its series may use.
    force
        Repeat steps whose inputs and configuration are unchanged.
    expiry
        Time [s] without a touch after which a claim is taken over.
    spread
        Number of GPUs that workers share by their numbers; 0 if `device` alone decides.
    fall_back
        Whether a step may run on the CPU if the memory of the GPU does not suffice.
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
    """Outcome of a session in a worker.

    Parameters
    ----------
    session
        Key.
    record
        Its record; None if another run holds it.
    ran
        Steps that were computed; the others were complete or could not run.
    unwritable
        Reason why nothing can be written; "" if it can.
    stopped
        Whether it was left unfinished because the run is stopping.
    note
        About the ledger.
    seconds
        Wall time in the worker [s].
    worker
        Process that worked on it.
    place, address
        Dask worker: the address of the process that guards it, which stays when it is restarted, and its own.
    device_problem
        Reason why the GPU of the worker cannot be used; "" if it can.
    lost_device
        Whether the GPU was lost during the session; otherwise `device_problem` kept the session from beginning.
    """

    session: str
    record: SessionRecord | None = None
    ran: tuple[str, ...] = ()
    unwritable: str = ""
    stopped: bool = False
    note: str = ""
    seconds: float = 0.0
    worker: str = ""
    place: str = ""
    address: str = ""
    device_problem: str = ""
    lost_device: bool = False

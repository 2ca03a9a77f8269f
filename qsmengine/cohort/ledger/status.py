"""Status of a cohort, read from its ledger; nothing is written, and running processes are not disturbed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from qsmengine.cohort.ledger.leases import EXPIRY, Standing, find
from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.ledger.records import read_all, read_record
from qsmengine.cohort.plan.model import SessionRecord, reasons_of
from qsmengine.errors import InputError
from qsmengine.io.processes import is_gone

Condition: TypeAlias = Literal["done", "failed", "blocked", "running", "left", "damaged", "waiting"]
"""left: started by a process that has ended; the next run repeats it."""


@dataclass(frozen=True)
class SessionStatus:
    """Status of a session according to the ledger and its claim.

    Parameters
    ----------
    session
        Key.
    condition
        Its state.
    reasons
        Reasons for failed, blocked and damaged sessions.
    worker, step, device
        Those of a running session.
    silent
        Time [s] since its worker last touched the claim; None if no process holds it.
    seconds
        Total time of its steps [s].
    """

    session: str
    condition: Condition
    reasons: tuple[str, ...] = ()
    worker: str = ""
    step: str = ""
    device: str = ""
    silent: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class CohortStatus:
    """Status of all sessions in the ledger."""

    out: str
    sessions: Sequence[SessionStatus]

    def of(self, condition: Condition) -> list[SessionStatus]:
        """Sessions in one condition."""
        return [session for session in self.sessions if session.condition == condition]

    @property
    def counts(self) -> dict[str, int]:
        """Number of sessions by condition, without empty conditions."""
        found = [session.condition for session in self.sessions]
        return {name: found.count(name) for name in dict.fromkeys(sorted(found))}

    def as_tree(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {"out": self.out, "counts": self.counts, "sessions": [asdict(s) for s in self.sessions]}


def cohort_status(out: Path, *, expiry: float = EXPIRY) -> CohortStatus:
    """Return the status of a cohort.

    Parameters
    ----------
    out
        Output folder of a run.
    expiry
        Time [s] without a touch, by this machine's clock, after which a session counts as left.

    Raises
    ------
    InputError
        For a folder without a ledger.
    """
    places = Places(out)
    if not places.home.is_dir():
        raise InputError("contains no ledger: no cohort has been run with this output folder", source=out)
    found = {key: _status(places, key, record, note, expiry) for key, record, note in read_all(out)}
    for folder in sorted(places.claims.glob("*")):
        if folder.name not in found and (claim := find(folder)) is not None and not claim.released:
            found[folder.name] = _begun(folder.name, claim, expiry)
    return CohortStatus(str(out), tuple(found[key] for key in sorted(found)))


def session_status(out: Path, key: str, *, expiry: float = EXPIRY) -> SessionStatus | None:
    """Return the status of one session; None if it never started."""
    places = Places(out)
    record, note = read_record(out, key)
    if record is not None or note:
        return _status(places, key, record, note, expiry)
    claim = find(places.claim(key))
    return None if claim is None or claim.released else _begun(key, claim, expiry)


def _status(places: Places, key: str, record: SessionRecord | None, note: str, expiry: float) -> SessionStatus:
    if record is None:
        return SessionStatus(key, "damaged", (note,))
    seconds = round(sum(step.seconds for step in record.steps.values()), 3)
    claim = find(places.claim(key))
    if claim is not None and not claim.released:
        name, step = next(
            ((name, step) for name, step in record.steps.items() if step.state == "running"), ("", None)
        )
        base = _begun(key, claim, expiry)
        device = "" if step is None else step.device
        return SessionStatus(
            key, base.condition, (), base.worker, name, device, base.silent, seconds
        )  # fmt: skip
    state: Condition = "left" if record.state == "running" else record.state
    return SessionStatus(key, state, tuple(reasons_of(record)), seconds=seconds)


def _begun(key: str, claim: Standing, expiry: float) -> SessionStatus:
    """Status of a session with a claim."""
    age = time.time() - claim.touched
    gone = abs(age) > expiry or (claim.owner is not None and is_gone(claim.owner))
    worker = "" if claim.owner is None else str(claim.owner)
    return SessionStatus(key, "left" if gone else "running", worker=worker, silent=round(max(0.0, age), 1))

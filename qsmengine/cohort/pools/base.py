"""Interface of a pool of workers, and the pool that runs sessions in this process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from qsmengine.cohort.ledger.fingerprints import HashCache
from qsmengine.cohort.plan.model import CohortPlan, Session
from qsmengine.cohort.work.errors import LostDeviceError
from qsmengine.cohort.work.exchange import Options, SessionOutcome
from qsmengine.cohort.work.execute import run_session
from qsmengine.errors import DeviceError, describe


@dataclass(frozen=True)
class Finished:
    """A session that left the pool.

    Parameters
    ----------
    session
        The session.
    outcome
        Its outcome; None if it has none.
    lost
        Whether it lost its worker or its GPU.
    returned
        Whether it came back without having begun.
    error
        Any other error.
    note
        About the workers.
    """

    session: Session
    outcome: SessionOutcome | None = None
    lost: bool = False
    returned: bool = False
    error: str = ""
    note: str = ""


class Pool(Protocol):
    """Workers that run sessions."""

    @property
    def slots(self) -> int:
        """Number of sessions that can run at present."""

    def submit(self, session: Session, options: Options, ahead: Session | None) -> None:
        """Queue a session; the inputs of the session `ahead` may be read while it runs."""

    def wait(self, seconds: float) -> list[Finished]:
        """Return sessions that have ended; wait up to `seconds` for the first."""

    def workers(self) -> tuple[str, ...]:
        """Names of the present workers, for display."""

    @property
    def link(self) -> str:
        """Address of a page that shows the workers; "" if there is none."""

    def close(self) -> None:
        """End the workers, even while they run a session."""


class SerialPool:
    """Pool that runs sessions one after the other in this process."""

    def __init__(self, plan: CohortPlan, stop: threading.Event) -> None:
        self._plan = plan
        self._stop = stop
        self._cache = HashCache()
        self._lost = ""
        self._queue: deque[tuple[Session, Options]] = deque()

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, session: Session, options: Options, ahead: Session | None) -> None:  # noqa: ARG002
        """Queue a session; nothing is read ahead."""
        self._queue.append((session, options))

    def wait(self, seconds: float) -> list[Finished]:
        """Run the next session; wait if there is none.

        Raises
        ------
        DeviceError
            If an earlier session lost the GPU, which this process can no longer use.
        """
        if self._lost and self._queue:
            raise DeviceError(f"{self._lost}; run again to resume")
        if not self._queue:
            self._stop.wait(seconds)
            return []
        session, options = self._queue.popleft()
        bids, out = Path(self._plan.bids), Path(self._plan.out)
        try:
            outcome = run_session(session, bids, out, options, self._cache, self._stop)
        except LostDeviceError as error:
            self._lost = str(error)
            return [Finished(session, error=self._lost)]
        except OSError as error:
            return [Finished(session, error=describe(error)[0])]
        return [Finished(session, outcome)]

    def workers(self) -> tuple[str, ...]:
        """Return this process as the only worker."""
        return ("this process",)

    @property
    def link(self) -> str:
        """Empty: there is no page."""
        return ""

    def close(self) -> None:
        """Do nothing: there are no workers to end."""


PoolMaker: TypeAlias = Callable[[CohortPlan, threading.Event], Pool]

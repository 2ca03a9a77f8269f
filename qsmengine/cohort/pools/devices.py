"""GPUs that fail during a run: which worker gets a new process, and which one leaves."""

from __future__ import annotations

from qsmengine.cohort.work.exchange import SessionOutcome


class Watch:
    """Counts how often the GPU of each worker failed since it last finished a session.

    A lost GPU often works again in a new process. It does not if that process cannot use it either, or if two
    different sessions in a row lost it: then its worker takes up every session that the others leave, and fails
    them all. One session that loses its GPU twice may itself be the cause.
    """

    def __init__(self) -> None:
        self._lost: dict[str, set[str]] = {}
        self._unusable: set[str] = set()

    def finished(self, worker: str) -> None:
        """Note that a worker has finished a session."""
        self._lost.pop(worker, None)
        self._unusable.discard(worker)

    def hopeless(self, outcome: SessionOutcome) -> bool:
        """Note that the GPU of a worker failed; return True if a new process would not help."""
        if not outcome.lost_device:
            known = outcome.place in self._unusable
            self._unusable.add(outcome.place)
            return known
        sessions = self._lost.setdefault(outcome.place, set())
        sessions.add(outcome.session)
        return len(sessions) > 1

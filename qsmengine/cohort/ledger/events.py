"""Events of a cohort run, and the log that keeps them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

EventKind: TypeAlias = Literal["begin", "submit", "session", "wait", "retry", "note", "beat", "end"]


@dataclass(frozen=True)
class Tally:
    """Number of sessions of a run by state."""

    total: int
    done: int = 0
    skipped: int = 0
    failed: int = 0
    blocked: int = 0
    active: int = 0

    @property
    def finished(self) -> int:
        """Sessions that are complete in this run; `skipped` ones are among the done."""
        return self.done + self.failed + self.blocked


@dataclass(frozen=True)
class Event:
    """An event of a run.

    Parameters
    ----------
    kind
        "begin" and "end" of the run; a session was queued ("submit"), ended ("session"), is held by another
        run ("wait"), or is repeated ("retry"); "note" is a message; "beat" comes about twice a second.
    text
        Message of one line; may be empty.
    tally
        Counts so far.
    session
        Key of the session that the event concerns.
    facts
        Plain values: state, reason, seconds, worker, device.
    """

    kind: EventKind
    text: str
    tally: Tally
    session: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


OnEvent: TypeAlias = Callable[[Event], None]


class EventLog:
    """Appends events to a file of JSON lines; a full disk does not stop the run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: Event) -> None:
        """Append an event, unless it is a heartbeat."""
        if event.kind == "beat":
            return
        entry = {"time": round(time.time(), 3), "event": event.kind, "message": event.text}
        if event.session:
            entry["session"] = event.session
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({**entry, **event.facts}, default=str) + "\n")

"""Progress of a cohort run: a live view on a terminal, otherwise one line per session."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from qsmengine.cli.display.reporter import Reporter
from qsmengine.errors import shorten

if TYPE_CHECKING:
    from qsmengine.cohort.ledger.events import Event, Tally
    from qsmengine.cohort.run import CohortOutcome

MOST_LINES = 12
"""Largest number of running sessions in the live view."""
REFRESH = 2.0
"""Interval between reads of the ledger [s]."""


class CohortView:
    """Context manager that shows the events of a run.

    Parameters
    ----------
    reporter
        Selects a live view, plain lines, JSON lines or no output.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._live: Any = None
        self._start = time.monotonic()
        self._active: dict[str, tuple[str, str, float]] = {}
        self._looked = 0.0
        self._out = ""

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        if not (self._reporter.quiet or self._reporter.log_json) and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True, refresh_per_second=4)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            live.__exit__(kind, error, trace)

    def on_event(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "begin":
            self._out, self._start = str(event.facts.get("out", "")), time.monotonic()
        if event.kind == "session":
            self._active.pop(event.session, None)
        if event.kind != "beat":
            self._say(event)
        elif self._live is not None:
            self._look_at_ledger(event.facts.get("active", ()))
        if self._live is not None:
            self._live.update(self._draw(event.tally))

    def summary(self, outcome: CohortOutcome) -> None:
        """Print the outcome of the run."""
        counts = {name: outcome.count(name) for name in ("done", "failed", "blocked")}
        counts["not finished"] = outcome.total - sum(counts.values())
        parts = [f"{number} {name}" for name, number in counts.items() if number]
        before = f" ({len(outcome.skipped)} already done)" if outcome.skipped else ""
        if outcome.stopped:
            self._reporter.note(f"stopped early: {outcome.stopped}")
        if outside := outcome.outside:
            self._reporter.note(
                f"{len(outside)} with quality measures outside their ranges, {shorten(outside)}; "
                f"qsmengine quality {self._out or 'OUT'} gives the reasons"
            )
        if outcome.interrupted:
            self._reporter.note("interrupted; repeat the command to resume")
        text = f"{outcome.total} sessions in {_clock(outcome.seconds)}: {', '.join(parts)}{before}"
        facts = {name.replace(" ", "_"): number for name, number in counts.items()}
        self._reporter.say(text, **facts, skipped=len(outcome.skipped), reasons=dict(outcome.reasons))

    def _say(self, event: Event) -> None:
        if self._reporter.log_json:
            facts = {"session": event.session} if event.session else {}
            self._reporter.log(event.kind, event.text, **facts, **event.facts)
            return
        if not event.text or self._reporter.quiet:
            return
        if event.kind == "session":
            number = f"[{event.tally.finished}/{event.tally.total}]"
            seconds = event.facts.get("seconds")
            took = f" ({seconds:.1f} s)" if isinstance(seconds, float) else ""
            self._print(f"{number} {event.text}{took}")
        elif event.kind in {"note", "wait", "retry"}:
            self._print(f"note: {event.text}")
        elif event.kind == "begin":
            self._print(event.text)

    def _print(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def _look_at_ledger(self, active: Any) -> None:
        """Refresh the list of running sessions and their workers."""
        now = time.monotonic()
        if now - self._looked < REFRESH or not self._out:
            return
        self._looked = now
        from qsmengine.cohort.ledger.status import session_status

        before, self._active = self._active, {}
        for key in active:
            found = session_status(Path(self._out), str(key))
            if found is not None and found.condition == "running":
                step = f"{found.step} ({found.device})" if found.device else found.step
                since = before.get(found.session, ("", "", now))[2]
                self._active[found.session] = (found.worker, step, since)

    def _draw(self, tally: Tally) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        elapsed = time.monotonic() - self._start
        computed = tally.finished - tally.skipped - tally.blocked
        head = Table.grid(padding=(0, 1))
        head.add_row(
            ProgressBar(total=max(1, tally.total), completed=tally.finished, width=30),
            f"{tally.finished}/{tally.total}",
            f"{tally.done} done",
            f"[red]{tally.failed} failed[/red]" if tally.failed else "0 failed",
            f"{tally.blocked} blocked",
            _rate(computed, elapsed, tally.total - tally.finished),
        )
        rows = Table.grid(padding=(0, 2))
        for key, (worker, step, since) in sorted(self._active.items())[:MOST_LINES]:
            rows.add_row(f"  {key}", step, worker, _clock(time.monotonic() - since))
        return Group(head, rows)


def _rate(computed: int, elapsed: float, left: int) -> str:
    """Return the elapsed time, the sessions per hour and the estimated remaining time."""
    if computed < 1:
        return f"{_clock(elapsed)} elapsed"
    return f"{3600 * computed / elapsed:.0f} per hour, about {_clock(left * elapsed / computed)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

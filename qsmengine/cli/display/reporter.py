"""Messages of a running command: a progress bar on a terminal, plain or JSON lines elsewhere.

Progress and notes go to stderr, results to stdout.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from qsmengine.cli.display.time_left import TimeLeft

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from qsmengine.pipeline.run.progress import Progress


class Reporter:
    """Messages of one command.

    Parameters
    ----------
    verbose
        Print details too.
    quiet
        Print only errors.
    log_json
        Write one JSON object per line instead of text.
    """

    def __init__(self, *, verbose: bool = False, quiet: bool = False, log_json: bool = False) -> None:
        self.verbose = verbose and not quiet
        self.quiet = quiet
        self.log_json = log_json
        self._bar: Bar | None = None
        self._task: Any = None
        self._left = TimeLeft()

    def say(self, text: str = "", **facts: Any) -> None:
        """Print a result on stdout (or log it)."""
        if self.log_json:
            self._log("result", text, facts)
        elif not self.quiet:
            self._print(text, sys.stdout)

    def note(self, text: str) -> None:
        """Print a decision that the user should know about."""
        if self.log_json:
            self._log("note", text, {})
        elif not self.quiet:
            self._print(f"note: {text}", sys.stderr)

    def notes(self, texts: Iterable[str]) -> None:
        """Print several notes, each only once."""
        for text in dict.fromkeys(texts):
            self.note(text)

    def detail(self, text: str) -> None:
        """Print a detail, with -v only."""
        if self.verbose and self.log_json:
            self._log("detail", text, {})
        elif self.verbose:
            self._print(text, sys.stderr)

    def log(self, kind: str, text: str, **facts: Any) -> None:
        """Write a JSON line of the given kind; without --log-json, do nothing."""
        if self.log_json:
            self._log(kind, text, facts)

    def step(self, text: str) -> None:
        """Announce the next part of a longer command."""
        if self.log_json:
            self._log("part", text, {})
        elif not self.quiet:
            self._print(text, sys.stderr)

    @contextmanager
    def progress(self) -> Iterator[Reporter]:
        """Show steps while the block runs; use :meth:`on_step` as the run's callback."""
        if self.quiet or self.log_json or not sys.stderr.isatty():
            yield self
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            self._bar, self._task, self._left = bar, bar.add_task("", total=1.0, left=""), TimeLeft()
            try:
                yield self
            finally:
                self._bar = self._task = None

    def on_step(self, now: Progress) -> None:
        """Show the current step of the run."""
        if self._bar is not None:
            done = (now.index - 1 + now.fraction) / now.total
            left = self._left.text(now, monotonic())
            described = f"[{now.index}/{now.total}] {now.title}"
            self._bar.update(self._task, completed=done, description=described, left=left)
        if now.seconds is None:
            return
        if self.log_json:
            self._log(
                "step", now.title, {"index": now.index, "total": now.total, "seconds": round(now.seconds, 3)}
            )
        elif not self.quiet:
            self._print(f"[{now.index}/{now.total}] {now.title:<28} {now.seconds:7.2f} s", sys.stderr)

    def _print(self, text: str, stream: Any) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=stream, flush=True)

    @staticmethod
    def _log(kind: str, text: str, facts: dict[str, Any]) -> None:
        entry = {"time": round(time.time(), 3), "event": kind, "message": text, **facts}
        print(json.dumps(entry, default=str), file=sys.stderr, flush=True)  # noqa: T201


def print_error(text: str, *, log_json: bool = False) -> None:
    """Print an error on stderr as one message."""
    if log_json:
        Reporter._log("error", text, {})  # noqa: SLF001
    else:
        print(f"error: {text}", file=sys.stderr)  # noqa: T201

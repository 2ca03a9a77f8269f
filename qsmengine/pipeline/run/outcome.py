"""Outcome of a file-to-file session: plan, files, notes, result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qsmengine.errors import UsageError
from qsmengine.pipeline.run.plan import Plan
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record


@record
class Outcome:
    """Outcome of a session or dry run: plan, files, notes; `result` is None after a dry run."""

    plan: Plan
    files: Sequence[Path]
    notes: Sequence[str]
    result: RunResult | None = None

    def completed(self) -> RunResult:
        """Return the result; raises UsageError after a dry run."""
        if self.result is None:
            raise UsageError("a dry run has no result")
        return self.result

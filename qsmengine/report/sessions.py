"""State of a session for its page: steps, reasons and resources, as given by the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsmengine.report.pages import duration, memory

STATES = ("failed", "damaged", "blocked", "running", "waiting", "done")
"""States of sessions and steps, those that need attention first."""


@dataclass(frozen=True)
class StepState:
    """Outcome of a step; seconds and bytes are 0 if unknown."""

    name: str
    state: str
    reason: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_memory: int = 0
    device: str = ""
    attempts: int = 0

    @property
    def time(self) -> str:
        """Duration as text."""
        return duration(self.seconds) if self.seconds else ""

    @property
    def memory(self) -> str:
        """Peak memory as text."""
        return memory(self.peak_memory) if self.peak_memory else ""


@dataclass(frozen=True)
class SessionState:
    """A session: key (``sub-X[_ses-Y]``), state, reasons why it is not done, steps."""

    key: str
    state: str = "done"
    problems: tuple[str, ...] = ()
    steps: tuple[StepState, ...] = ()

    @property
    def reasons(self) -> Sequence[str]:
        """Problems of the session, followed by those of its steps."""
        return [*self.problems, *(f"{s.name}: {s.reason}" for s in self.steps if s.reason)]

    @property
    def notes(self) -> tuple[str, ...]:
        """Distinct notes of the steps."""
        return tuple(dict.fromkeys(note for step in self.steps for note in step.notes))

    @property
    def time(self) -> str:
        """Duration of all steps as text."""
        total = sum(step.seconds for step in self.steps)
        return duration(total) if total else ""

    @property
    def memory(self) -> str:
        """Largest peak memory of a step as text."""
        largest = max((step.peak_memory for step in self.steps), default=0)
        return memory(largest) if largest else ""

    @property
    def device(self) -> str:
        """Devices on which the steps ran."""
        return ", ".join(dict.fromkeys(step.device for step in self.steps if step.device))

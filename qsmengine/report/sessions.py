"""What a page says of a session: its state, steps and reasons, as the caller knows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsmengine.report.pages import duration, memory

STATES = ("failed", "damaged", "blocked", "running", "waiting", "done")
"""States of sessions and steps, those that need somebody first."""


@dataclass(frozen=True)
class StepState:
    """A step as it went: seconds and bytes are 0 where they are not known."""

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
        """Its duration in words."""
        return duration(self.seconds) if self.seconds else ""

    @property
    def memory(self) -> str:
        """Its peak memory in words."""
        return memory(self.peak_memory) if self.peak_memory else ""


@dataclass(frozen=True)
class SessionState:
    """A session: key (``sub-X[_ses-Y]``), state, why it is not done, its steps."""

    key: str
    state: str = "done"
    problems: tuple[str, ...] = ()
    steps: tuple[StepState, ...] = ()

    @property
    def reasons(self) -> Sequence[str]:
        """Problems of the session, then those of its steps."""
        return [*self.problems, *(f"{s.name}: {s.reason}" for s in self.steps if s.reason)]

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes of its steps, each once."""
        return tuple(dict.fromkeys(note for step in self.steps for note in step.notes))

    @property
    def time(self) -> str:
        """Duration of all steps in words."""
        total = sum(step.seconds for step in self.steps)
        return duration(total) if total else ""

    @property
    def memory(self) -> str:
        """Peak memory of its largest step in words."""
        largest = max((step.peak_memory for step in self.steps), default=0)
        return memory(largest) if largest else ""

    @property
    def device(self) -> str:
        """Where its steps ran."""
        return ", ".join(dict.fromkeys(step.device for step in self.steps if step.device))

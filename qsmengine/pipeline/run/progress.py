"""Progress of a run, displayed by the command line and available to programs through a callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from qsmengine.records import record


@record
class Progress:
    """State of a run.

    Parameters
    ----------
    title
        Current step.
    index, total
        Number of the step (from 1), and number of steps.
    fraction
        Completed fraction of the step, 0 to 1; iterative solvers count their iterations.
    seconds
        Duration of the step; None until it is done.
    """

    title: str
    index: int
    total: int
    fraction: float = 0.0
    seconds: float | None = None


ProgressCallback: TypeAlias = Callable[[Progress], None]

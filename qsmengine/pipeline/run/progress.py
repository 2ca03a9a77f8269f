"""What a run tells while it works; the command line draws it, programs may listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Progress:
    """State of a run.

    Parameters
    ----------
    title
        Step under way.
    index, total
        Number of the step (from 1) and of all steps.
    fraction
        Part of the step that is done, 0 to 1; an iterative solver counts its iterations.
    seconds
        Time the step took; None until it is done.
    """

    title: str
    index: int
    total: int
    fraction: float = 0.0
    seconds: float | None = None


ProgressCallback: TypeAlias = Callable[[Progress], None]

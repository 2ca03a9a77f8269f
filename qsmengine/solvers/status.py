"""What an iterative solver tells while it runs and when it stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class SolverStatus:
    """State of an iterative solver.

    Parameters
    ----------
    iteration
        Iterations done.
    residual
        The quantity that is compared with `tolerance`, as of the last test.
    tolerance
        Where the solver stops.
    reason
        None while it runs; ``converged``, ``iterations`` (limit reached) or ``callback`` at the end.
    """

    iteration: int
    residual: float
    tolerance: float
    reason: Literal["converged", "iterations", "callback"] | None = None


SolverCallback: TypeAlias = Callable[[SolverStatus], bool | None]
"""Called at every convergence test and once at the end; returning False stops the solver."""

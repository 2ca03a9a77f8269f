"""Stopping rule and status of the iterative solvers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

from qsmengine.records import record


@record
class SolverStatus:
    """State of an iterative solver.

    Parameters
    ----------
    iteration
        Completed iterations.
    residual
        Quantity that is compared with `tolerance`, from the last test; infinite before the first.
    tolerance
        The solver stops at this residual or below.
    reason
        None while it runs; ``converged``, ``iterations`` (limit reached) or ``callback`` at the end.
    """

    iteration: int
    residual: float
    tolerance: float
    reason: Literal["converged", "iterations", "callback"] | None = None


SolverCallback: TypeAlias = Callable[[SolverStatus], bool | None]
"""Called at every convergence test; returning False stops the solver."""


@record
class Stopping:
    """Stopping rule of an iterative solver.

    Parameters
    ----------
    iterations
        Limit.
    tolerance
        The solver stops when its residual is at most this. Each solver documents its residual.
    test_every
        Iterations between tests, each of which waits for the GPU. The last iteration is always tested.
    callback
        Receives the status at every test; returning False stops the solver.
    """

    iterations: int
    tolerance: float
    test_every: int = 10
    callback: SolverCallback | None = None

    def at_start(self) -> SolverStatus:
        """Return the status before the first iteration."""
        return SolverStatus(0, math.inf, self.tolerance)

    def is_due(self, iteration: int) -> bool:
        """Return True if the residual is tested after this iteration, counted from 1."""
        return iteration % self.test_every == 0 or iteration >= self.iterations

    def test(self, iteration: int, residual: float) -> SolverStatus:
        """Return the status after `iteration` with this residual, with the reason if the solver must stop."""
        reason: Literal["converged", "iterations"] | None = None
        if residual <= self.tolerance:
            reason = "converged"
        elif iteration >= self.iterations:
            reason = "iterations"
        status = SolverStatus(iteration, residual, self.tolerance, reason)
        if self.callback is not None and self.callback(status) is False and reason is None:
            return SolverStatus(iteration, residual, self.tolerance, "callback")
        return status

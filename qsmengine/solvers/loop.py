"""The loop that every fixed-point iteration runs in: limits, convergence tests, callback."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qsmengine.data import Array
from qsmengine.solvers.status import SolverCallback, SolverStatus


def iterate(
    step: Callable[[], None],
    variable: Callable[[], Array],
    *,
    iterations: int,
    tolerance: float,
    test_every: int = 10,
    callback: SolverCallback | None = None,
) -> SolverStatus:
    """Call `step` until ||x - x_before|| <= tolerance ||x|| for a single step, or `iterations` times.

    The test is made every `test_every` steps and after the last one, so a GPU is not waited for in
    between; `callback` is told the status each time and returning False stops.

    Parameters
    ----------
    step
        One iteration.
    variable
        Returns x (real or complex) as it is now.
    iterations, tolerance, test_every, callback
        Stopping rule.

    Returns
    -------
    SolverStatus
        How it ended.
    """
    status = SolverStatus(0, math.inf, tolerance)
    before: Array | None = None
    for k in range(1, iterations + 1):
        testing = k % test_every == 0 or k == iterations
        if testing:
            before = variable().copy() if before is None else _copy_into(before, variable())
        step()
        if not testing or before is None:
            continue
        status = replace(status, iteration=k, residual=_relative_change(variable(), before))
        if status.residual <= tolerance:
            status = replace(status, reason="converged")
        elif k == iterations:
            status = replace(status, reason="iterations")
        go_on = callback is None or callback(status) is not False
        if status.reason is not None:
            break
        if not go_on:
            return replace(status, reason="callback")
    return status


def _copy_into(target: Array, source: Array) -> Array:
    target[...] = source
    return target


def _relative_change(x: Array, before: Array) -> float:
    """||x - before|| / ||x||; overwrites `before`."""
    before -= x
    energies = _energy(before), _energy(x)  # both are queued before the host waits for the first
    change, norm = map(float, energies)
    return math.sqrt(change / norm) if norm > 0 else 0.0


def _energy(x: Array) -> Array:
    real = x.view(np.float32) if x.dtype == np.complex64 else x
    energy: Array = (real * real).sum(dtype=np.float64)
    return energy

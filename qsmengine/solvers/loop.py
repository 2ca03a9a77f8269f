"""Main loop of the fixed-point iterations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from qsmengine.backend.device import array_module, to_numpy
from qsmengine.data import Array
from qsmengine.solvers.stopping import SolverStatus, Stopping


def iterate(step: Callable[[], None], variable: Callable[[], Array], stopping: Stopping) -> SolverStatus:
    """Call `step` until `stopping` ends the iteration; the residual is ||x - x_before|| / ||x|| of one step.

    Parameters
    ----------
    step
        One iteration.
    variable
        Returns the current x, real or complex.
    stopping
        Stopping rule.

    Returns
    -------
    SolverStatus
        Status at the end.
    """
    status = stopping.at_start()
    before: Array | None = None
    for k in range(1, stopping.iterations + 1):
        due = stopping.is_due(k)
        if due:
            before = variable().copy() if before is None else _copy_into(before, variable())
        step()
        if not due or before is None:
            continue
        status = stopping.test(k, _relative_change(variable(), before))
        if status.reason is not None:
            break
    return status


def _copy_into(target: Array, source: Array) -> Array:
    target[...] = source
    return target


def _relative_change(x: Array, before: Array) -> float:
    """Return ||x - before|| / ||x||; overwrites `before`."""
    before -= x
    change, norm = to_numpy(array_module(x).stack([_energy(before), _energy(x)])).tolist()  # one wait for both
    return math.sqrt(change / norm) if norm > 0 else 0.0


def _energy(x: Array) -> Array:
    real = x.view(np.float32) if x.dtype == np.complex64 else x
    energy: Array = (real * real).sum(dtype=np.float64)
    return energy

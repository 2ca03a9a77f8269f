"""Vector operations of Krylov solvers: float32 vectors of any shape, float64 sums that stay on the device."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.vector import VEC_ADVANCE, VEC_DAMP, VEC_DOT, VEC_STEP
from qsmengine.data import Array

_RUN = 16384
"""Number of elements summed by one tile."""

_TINY = float(np.finfo(np.float64).tiny)


def dot(a: Array, b: Array, device: Device) -> Array:
    """Return the sum of a b, float64 (1,) on the device."""
    partial = _partial(a, device)
    launch(VEC_DOT, device, a=a.reshape(-1), b=b.reshape(-1), partial=partial)
    return _total(partial)


def step(y: Array, x: Array, length: Array, sign: float, device: Device) -> Array:
    """Add sign length x to y in place; return the sum of the new y^2, float64 (1,) on the device."""
    partial = _partial(y, device)
    launch(VEC_STEP, device, y=y.reshape(-1), x=x.reshape(-1), step=length, sign=sign, partial=partial)
    return _total(partial)


def advance(x: Array, p: Array, s: Array, alpha: Array, beta: Array, device: Device) -> None:
    """Update x += alpha p, then p = s + beta p, in place and in one pass."""
    launch(
        VEC_ADVANCE, device, x=x.reshape(-1), p=p.reshape(-1), s=s.reshape(-1), alpha=alpha, beta=beta
    )  # fmt: skip


def damp(s: Array, x: Array, p: Array, alpha: Array, damping: float, device: Device) -> None:
    """Subtract damping (x + alpha p) from s in place."""
    launch(
        VEC_DAMP, device, s=s.reshape(-1), x=x.reshape(-1), p=p.reshape(-1), alpha=alpha, damping=damping
    )  # fmt: skip


def ratio(numerator: Array, denominator: Array, device: Device) -> Array:
    """Return numerator over denominator >= 0, both (1,) on the device; 0 / 0 is 0."""
    quotient: Array = numerator / device.xp.maximum(denominator, _TINY)
    return quotient


def _partial(vector: Array, device: Device) -> Array:
    return device.empty((-(-vector.size // _RUN),), np.float64)


def _total(partial: Array) -> Array:
    total: Array = partial.sum(keepdims=True)
    return total

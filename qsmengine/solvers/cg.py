"""Conjugate gradients: for symmetric positive systems, and for least squares.

Scalars stay on the device; the host reads them only where convergence is tested. Vectors are float32 arrays of
any shape, sums float64.

References: Hestenes & Stiefel 1952, 10.6028/jres.049.044; Bjorck 1996, 10.1137/1.9781611971484 (CGLS).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.solvers.stopping import SolverStatus, Stopping
from qsmengine.solvers.vectors import advance, damp, dot, ratio, step

Operator = Callable[[Array], Array]
"""A linear map that keeps its argument. It may use one buffer for its results: they are overwritten."""


class Solution(NamedTuple):
    """Result of an iterative solver."""

    x: Array
    status: SolverStatus


def solve_cg(
    operator: Operator, b: Array, device: Device, stopping: Stopping, preconditioner: Operator | None = None
) -> Solution:
    """Solve A x = b for symmetric positive (semi-)definite A, starting from 0.

    The tested residual is ||b - A x|| / ||b||, from the recurrence.

    Parameters
    ----------
    operator
        x -> A x.
    b
        Right-hand side float32; unchanged.
    device, stopping
        Device and stopping rule.
    preconditioner
        r -> M r with symmetric positive M close to the inverse of A.
    """
    x, r = device.zeros(b.shape), b.copy()
    z = r if preconditioner is None else preconditioner(r)
    p = z.copy()
    first = dot(r, r, device)
    rz = first if preconditioner is None else dot(r, z, device)
    status = stopping.at_start()
    for k in range(1, stopping.iterations + 1):
        q = operator(p)
        alpha = ratio(rz, dot(p, q, device), device)
        squared = step(r, q, alpha, -1.0, device)
        if stopping.is_due(k):
            status = stopping.test(k, relative_norm(squared, first, device))
            if status.reason is not None:
                step(x, p, alpha, 1.0, device)
                break
        z = r if preconditioner is None else preconditioner(r)
        before, rz = rz, squared if preconditioner is None else dot(r, z, device)
        advance(x, p, z, alpha, ratio(rz, before, device), device)
    return Solution(x, status)


def solve_least_squares(
    forward: Operator,
    adjoint: Operator,
    b: Array,
    device: Device,
    stopping: Stopping,
    *,
    damping: float = 0.0,
) -> Solution:
    """Solve min_x ||A x - b||^2 + damping ||x||^2 by CGLS, starting from 0.

    The tested residual is that of the normal equations, ||A^T (b - A x) - damping x|| / ||A^T b||.
    Early stopping regularises: directions of small singular value converge last.

    Parameters
    ----------
    forward, adjoint
        x -> A x and r -> A^T r.
    b
        Data float32; unchanged.
    device, stopping
        Device and stopping rule.
    damping
        Weight of ||x||^2.
    """
    r = b.copy()
    p = adjoint(r).copy()
    x = device.zeros(p.shape)
    first = gamma = dot(p, p, device)
    status = stopping.at_start()
    for k in range(1, stopping.iterations + 1):
        q = forward(p)
        curvature = dot(q, q, device)
        if damping:
            curvature = curvature + damping * dot(p, p, device)
        alpha = ratio(gamma, curvature, device)
        step(r, q, alpha, -1.0, device)
        s = adjoint(r)
        if damping:
            damp(s, x, p, alpha, damping, device)
        before, gamma = gamma, dot(s, s, device)
        advance(x, p, s, alpha, ratio(gamma, before, device), device)
        if stopping.is_due(k):
            status = stopping.test(k, relative_norm(gamma, first, device))
            if status.reason is not None:
                break
    return Solution(x, status)


def relative_norm(squared: Array, first: Array, device: Device) -> float:
    """Return the root of `squared` / `first`, both (1,) on the device; 0 if `first` is 0."""
    return math.sqrt(float(ratio(squared, first, device)[0]))

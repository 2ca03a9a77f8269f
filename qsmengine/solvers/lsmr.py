"""LSMR: least squares by Golub-Kahan bidiagonalisation.

Scalars stay on the device; the host reads them only where convergence is tested. Vectors are float32
arrays of any shape, norms float64.

Reference: Fong & Saunders 2011, 10.1137/10079687X.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.solvers.cg import Operator, Solution, relative_norm
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.vectors import dot, ratio


def solve_lsmr(forward: Operator, adjoint: Operator, b: Array, device: Device, stopping: Stopping) -> Solution:
    """Solve min_x ||A x - b||, starting from 0; the minimum-norm solution if there are several.

    The norm of A^T (b - A x) decreases at every iteration; the tested residual is its ratio to the initial
    norm. Early stopping regularises: directions of small singular value converge last.

    Parameters
    ----------
    forward, adjoint
        x -> A x and r -> A^T r.
    b
        Data float32; unchanged.
    device, stopping
        Device and stopping rule.
    """
    xp = device.xp
    u, beta = _normalised(b, device)
    v, alpha = _normalised(adjoint(u), device)
    one = xp.ones_like(alpha)
    zeta_bar, alpha_bar, rho, rho_bar, c_bar, s_bar = alpha * beta, alpha, one, one, one, 0.0 * one
    h, h_bar, x = v.copy(), device.zeros(v.shape), device.zeros(v.shape)
    first = zeta_bar * zeta_bar
    status = stopping.at_start()
    for k in range(1, stopping.iterations + 1):
        u, beta = _normalised(forward(v) - _single(alpha) * u, device)
        v, alpha = _normalised(adjoint(u) - _single(beta) * v, device)
        rho_before, rho_bar_before = rho, rho_bar
        rho = xp.hypot(alpha_bar, beta)
        c, theta = ratio(alpha_bar, rho, device), ratio(beta, rho, device) * alpha
        theta_bar, alpha_bar = s_bar * rho, c * alpha
        rho_bar = xp.hypot(c_bar * rho, theta)
        c_bar, s_bar = ratio(c_bar * rho, rho_bar, device), ratio(theta, rho_bar, device)
        zeta, zeta_bar = c_bar * zeta_bar, -s_bar * zeta_bar
        h_bar = h - _single(ratio(theta_bar * rho, rho_before * rho_bar_before, device)) * h_bar
        x += _single(ratio(zeta, rho * rho_bar, device)) * h_bar
        h = v - _single(ratio(theta, rho, device)) * h
        if stopping.is_due(k):
            status = stopping.test(k, relative_norm(zeta_bar * zeta_bar, first, device))
            if status.reason is not None:
                break
    return Solution(x, status)


def _normalised(vector: Array, device: Device) -> tuple[Array, Array]:
    norm = dot(vector, vector, device) ** 0.5
    return vector * _single(ratio(device.xp.ones_like(norm), norm, device) * (norm > 0)), norm


def _single(scalar: Array) -> Array:
    return scalar.astype(np.float32)

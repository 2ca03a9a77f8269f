"""ADMM for total-variation regularised, weighted deconvolution."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tv import TV_DATA_STEP, TV_GRADIENT_STEP, TV_KSPACE_STEP
from qsmengine.data import Array
from qsmengine.grid import Vector3
from qsmengine.solvers.status import SolverCallback, SolverStatus


@dataclass(frozen=True)
class TvProblem:
    """min_x 1/2 ||W (A x - f)||^2 + lam ||grad x||_1 on a periodic grid, x of zero mean.

    Parameters
    ----------
    response
        Half spectrum of the convolution A, float32 (nx, ny, nz // 2 + 1).
    data
        f, float32 (nx, ny, nz).
    weight
        W >= 0, float32 (nx, ny, nz).
    spacing
        Voxel edges, for the gradient per unit of length.
    lam
        Weight of the total variation: the sum of |dx|, |dy| and |dz| per unit of length, which keeps
        the result independent of how the axes are stored.
    """

    response: Array
    data: Array
    weight: Array
    spacing: Vector3
    lam: float


def solve_tv(
    problem: TvProblem,
    device: Device,
    *,
    mu_gradient: float,
    mu_data: float,
    iterations: int,
    tolerance: float,
    test_every: int = 10,
    callback: SolverCallback | None = None,
) -> Array:
    """Solution x of `problem` by ADMM with the splits z1 = grad x and z2 = A x.

    An iteration is four real FFTs, one pass in k-space (the normal equations are diagonal there), one
    fused pass over the gradient and one over the data. It stops when ||x - x_before|| <= tolerance
    ||x||, looked at every `test_every` iterations, or after `iterations`.

    Parameters
    ----------
    problem, device
        What to solve, and where its arrays live.
    mu_gradient, mu_data
        Penalty weights of the two splits; they change the speed, not the solution.
    iterations, tolerance, test_every
        Stopping rule.
    callback
        Told the status at every test; returning False stops.

    References
    ----------
    Bilgic et al. 2014, 10.1002/mrm.25029; Milovic et al. 2018, 10.1002/mrm.27073 (data split).
    """
    state = _Admm(problem, device, mu_gradient, mu_data)
    status = SolverStatus(0, math.inf, tolerance)
    before: Array | None = None
    for k in range(1, iterations + 1):
        testing = k % test_every == 0 or k == iterations
        if testing:
            before = state.x.copy() if before is None else _copy_into(before, state.x)
        state.iterate()
        if not testing or before is None:
            continue
        status = replace(status, iteration=k, residual=_relative_change(state.x, before))
        if status.residual <= tolerance:
            status = replace(status, reason="converged")
        elif k == iterations:
            status = replace(status, reason="iterations")
        go_on = callback is None or callback(status) is not False
        if status.reason is not None:
            break
        if not go_on:
            break
    return state.x


class _Admm:
    def __init__(self, problem: TvProblem, device: Device, mu_gradient: float, mu_data: float) -> None:
        nx, ny, nz = problem.data.shape
        shape = (nx, ny, nz)
        self.problem, self.device = problem, device
        self.mu_gradient, self.mu_data = mu_gradient, mu_data
        self.fft = RealFFT(shape, device)
        self.inverse_spacing = {f"h{axis}": 1.0 / h for axis, h in zip("xyz", problem.spacing, strict=True)}
        self.laplacian = _laplacian_spectra(shape, problem.spacing, device)
        self.weight2 = problem.weight * problem.weight
        self.p, self.p_next = device.zeros((3, *shape)), device.empty((3, *shape))
        self.u = device.zeros(shape)
        self.x = device.zeros(shape)
        self.ax = device.zeros(shape)
        self.adjoint = device.zeros(shape)
        self.gradient_spectrum = device.empty(self.fft.spectrum_shape, np.complex64)
        self.data_spectrum = device.empty(self.fft.spectrum_shape, np.complex64)

    def iterate(self) -> None:
        problem, device = self.problem, self.device
        launch(
            TV_GRADIENT_STEP, device, x=self.x, p=self.p, p_out=self.p_next, adjoint=self.adjoint,
            t=problem.lam / self.mu_gradient, **self.inverse_spacing,
        )  # fmt: skip
        self.p, self.p_next = self.p_next, self.p
        launch(TV_DATA_STEP, device, ax=self.ax, u=self.u, f=problem.data, w2=self.weight2, mu=self.mu_data)
        self.fft.forward(self.adjoint, self.gradient_spectrum)
        self.fft.forward(self.ax, self.data_spectrum)
        ex, ey, ez = self.laplacian
        launch(
            TV_KSPACE_STEP, device, gradient=self.gradient_spectrum, data=self.data_spectrum,
            response=problem.response, ex=ex, ey=ey, ez=ez, mu1=self.mu_gradient, mu2=self.mu_data,
            scale=self.fft.scale,
        )  # fmt: skip
        self.fft.inverse(self.gradient_spectrum, self.x, scaled=False)
        self.fft.inverse(self.data_spectrum, self.ax, scaled=False)


def _laplacian_spectra(shape: tuple[int, int, int], spacing: Vector3, device: Device) -> list[Array]:
    """Per axis the spectrum of grad^T grad for periodic forward differences: (2 - 2 cos 2 pi i / n) / h^2."""
    spectra = []
    for axis, (n, h) in enumerate(zip(shape, spacing, strict=True)):
        bins = n // 2 + 1 if axis == 2 else n
        values = (2.0 - 2.0 * np.cos(2.0 * np.pi * np.arange(bins) / n)) / h**2
        spectra.append(device.asarray(values))
    return spectra


def _copy_into(target: Array, source: Array) -> Array:
    target[...] = source
    return target


def _relative_change(x: Array, before: Array) -> float:
    change = float(((x - before) ** 2).sum(dtype=np.float64))
    norm = float((x * x).sum(dtype=np.float64))
    return math.sqrt(change / norm) if norm > 0 else 0.0

"""ADMM for weighted deconvolution with second-order total generalised variation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.tgv import TGV_ADJOINT, TGV_KSPACE_STEP, TGV_SPLIT_STEP
from qsmengine.data import Array
from qsmengine.ops.gradient import difference_spectra
from qsmengine.solvers.loop import iterate
from qsmengine.solvers.status import SolverCallback
from qsmengine.solvers.tv_admm import TvProblem


@dataclass(frozen=True)
class TgvPenalties:
    """ADMM penalty weights of the splits grad x - v, sym grad v and A x."""

    gradient: float
    curvature: float
    data: float


def solve_tgv(
    problem: TvProblem,
    lam_curvature: float,
    device: Device,
    *,
    penalties: TgvPenalties,
    iterations: int,
    tolerance: float,
    test_every: int = 10,
    callback: SolverCallback | None = None,
) -> Array:
    """min_{x, v} sum W^p loss(A x - f) + lam ||grad x - v||_1 + lam_curvature ||sym grad v||_1; returns x.

    `problem` gives all but the last term. Both norms sum absolute values of components per unit of length;
    the symmetric matrix sym grad v counts with all nine. ADMM with the splits z1 = grad x - v,
    z0 = sym grad v, z2 = A x. An iteration is ten real FFTs, one pass in k-space, where x and v are solved
    for together in closed form, two over the 13 images of the splits and one over the data.

    Parameters
    ----------
    problem, lam_curvature, device
        What to solve, and where its arrays live.
    penalties
        They change the speed, not the solution.
    iterations, tolerance, test_every, callback
        Stopping rule on x; see :func:`qsmengine.solvers.loop.iterate`.

    References
    ----------
    Bredies et al. 2010, 10.1137/090769521; Milovic et al. 2018, 10.1002/mrm.27073.
    """
    state = _TgvAdmm(problem, lam_curvature, device, penalties)
    iterate(
        state.iterate, lambda: state.x, iterations=iterations, tolerance=tolerance, test_every=test_every,
        callback=callback,
    )  # fmt: skip
    return state.x


class _TgvAdmm:
    def __init__(
        self, problem: TvProblem, lam_curvature: float, device: Device, penalties: TgvPenalties
    ) -> None:
        nx, ny, nz = problem.data.shape
        self.problem, self.device, self.penalties = problem, device, penalties
        self.thresholds = {
            "t1": problem.lam / penalties.gradient, "t0": lam_curvature / penalties.curvature,
        }  # fmt: skip
        self.fft = fft = RealFFT((nx, ny, nz), device)
        self.inverse_spacing = {f"h{a}": 1.0 / h for a, h in zip("xyz", problem.spacing, strict=True)}
        spectra = difference_spectra(fft.shape, problem.spacing, device)
        self.differences = dict(zip(("ex", "ey", "ez"), spectra, strict=True))
        self.weight2 = problem.weight * problem.weight
        self.x, self.v = device.zeros(fft.shape), device.zeros((3, *fft.shape))
        self.p, self.q = device.zeros((3, *fft.shape)), device.zeros((6, *fft.shape))
        self.r, self.s = device.empty((3, *fft.shape)), device.empty((6, *fft.shape))
        self.u, self.ax = device.zeros(fft.shape), device.zeros(fft.shape)
        self.gradient, self.data = (device.empty(fft.spectrum_shape, np.complex64) for _ in range(2))
        self.v_spectrum = device.empty((3, *fft.spectrum_shape), np.complex64)
        self._replay = Replay(device)

    def iterate(self) -> None:
        """One iteration."""
        self._replay(self._step)

    def _step(self, turn: int) -> None:  # noqa: ARG002  (every turn is the same)
        problem, device, fft, mu = self.problem, self.device, self.fft, self.penalties
        launch(
            TGV_SPLIT_STEP, device, x=self.x, v=self.v, p=self.p, q=self.q, r=self.r, s=self.s,
            **self.thresholds, **self.inverse_spacing,
        )  # fmt: skip
        launch(
            TGV_ADJOINT, device, r=self.r, s=self.s, x=self.x, v=self.v, mu1=mu.gradient, mu0=mu.curvature,
            **self.inverse_spacing,
        )  # fmt: skip
        problem.data_step(device, ax=self.ax, u=self.u, f=problem.data, w2=self.weight2, mu=mu.data)
        images = (self.x, self.ax, *self.v)
        spectra = (self.gradient, self.data, *self.v_spectrum)
        for image, spectrum in zip(images, spectra, strict=True):
            fft.forward(image, spectrum)
        launch(
            TGV_KSPACE_STEP, device, gradient=self.gradient, data=self.data, v=self.v_spectrum,
            response=problem.response, mu1=mu.gradient, mu2=mu.data, mu0=mu.curvature, scale=fft.scale,
            **self.differences,
        )  # fmt: skip
        for image, spectrum in zip(images, spectra, strict=True):
            fft.inverse(spectrum, image, scaled=False)

"""ADMM for deconvolution with total generalised variation, of data that hold a nearly harmonic field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.tgv import TGV_ADJOINT, TGV_SPLIT_STEP
from qsmengine.backend.signatures.tgv_harmonic import TGV_HARMONIC_KSPACE_STEP
from qsmengine.backend.signatures.tv import TV_DATA_STEP
from qsmengine.data import Array
from qsmengine.grid import Vector3
from qsmengine.ops.gradient import difference_spectra
from qsmengine.solvers.loop import iterate
from qsmengine.solvers.status import SolverCallback
from qsmengine.solvers.tv_harmonic import HarmonicTerm


@dataclass(frozen=True)
class TgvProblem:
    """min_{x, w, h} 1/2 ||W (A x + h - f)||^2 + alpha1 ||grad x - w||_1 + alpha0 ||eps w||_1 + harmonic term.

    eps w = (grad w + (grad w)^T) / 2, all nine parts; norms are sums of absolute values, so the result does
    not depend on the order and direction of the axes. x has zero mean on a periodic grid.

    Parameters
    ----------
    response
        Half spectrum of the convolution A, float32 (nx, ny, nz // 2 + 1).
    data, weight
        f and W >= 0, float32 (nx, ny, nz).
    spacing
        Voxel edges.
    alpha1, alpha0
        Weights; alpha0 / alpha1 is a length: structures that are wider may have slopes.
    harmonic
        Where h is to be harmonic, and how strictly.
    """

    response: Array
    data: Array
    weight: Array
    spacing: Vector3
    alpha1: float
    alpha0: float
    harmonic: HarmonicTerm


@dataclass(frozen=True)
class TgvPenalties:
    """Penalties of the splits grad x - w, eps w, A x + h and laplace h: the speed, not the solution."""

    gradient: float
    curvature: float
    data: float
    harmonic: float


def solve_tgv_harmonic(
    problem: TgvProblem,
    penalties: TgvPenalties,
    device: Device,
    *,
    iterations: int,
    tolerance: float,
    test_every: int = 10,
    callback: SolverCallback | None = None,
) -> Array:
    """The x of `problem`. An iteration is twelve real FFTs, one pass in k-space, and one for each split.

    The stopping rule is on x; see :func:`qsmengine.solvers.loop.iterate`.

    References
    ----------
    Bredies et al. 2010, 10.1137/090769521 (the regulariser); Milovic et al. 2018, 10.1002/mrm.27073 (ADMM).
    """
    state = _TgvAdmm(problem, penalties, device)
    iterate(
        state.iterate, lambda: state.x, iterations=iterations, tolerance=tolerance, test_every=test_every,
        callback=callback,
    )  # fmt: skip
    return state.x


class _TgvAdmm:
    def __init__(self, problem: TgvProblem, penalties: TgvPenalties, device: Device) -> None:
        nx, ny, nz = problem.data.shape
        self.problem, self.penalties, self.device = problem, penalties, device
        self.fft = fft = RealFFT((nx, ny, nz), device)
        self.inverse_spacing = {f"h{axis}": 1.0 / h for axis, h in zip("xyz", problem.spacing, strict=True)}
        self.symbols = dict(
            zip(("ex", "ey", "ez"), difference_spectra(fft.shape, problem.spacing, device), strict=True)
        )
        self.x, self.w = device.zeros(fft.shape), device.zeros((3, *fft.shape))
        self.p, self.q = device.zeros((3, *fft.shape)), device.zeros((6, *fft.shape))
        self.r, self.s = device.empty((3, *fft.shape)), device.empty((6, *fft.shape))
        self.weight2 = problem.weight * problem.weight
        region = problem.harmonic.region
        self.stiffness = np.float32(problem.harmonic.beta) * region * region
        self.zero = device.zeros(fft.shape)
        self.u, self.field = device.zeros(fft.shape), device.zeros(fft.shape)
        self.u_harmonic, self.laplacian = device.zeros(fft.shape), device.zeros(fft.shape)
        self.spectra = {
            name: device.empty(fft.spectrum_shape, np.complex64)
            for name in ("gx", "g1", "g2", "g3", "data", "harmonic")
        }
        self._replay = Replay(device)

    def iterate(self) -> None:
        """One iteration."""
        self._replay(self._step)

    def _step(self, turn: int) -> None:  # noqa: ARG002  (every turn is the same)
        self._split()
        fft, mu = self.fft, self.penalties
        images = (self.x, *self.w, self.field, self.laplacian)
        for image, spectrum in zip(images, self.spectra.values(), strict=True):
            fft.forward(image, spectrum)
        launch(
            TGV_HARMONIC_KSPACE_STEP, self.device, response=self.problem.response, mu1=mu.gradient,
            mu0=mu.curvature, mu2=mu.data, mu3=mu.harmonic, scale=fft.scale, **self.symbols, **self.spectra,
        )  # fmt: skip
        for image, spectrum in zip(images, self.spectra.values(), strict=True):
            fft.inverse(spectrum, image, scaled=False)

    def _split(self) -> None:
        """Splits and multipliers; x and w become the right-hand sides of their normal equations."""
        problem, mu, device = self.problem, self.penalties, self.device
        launch(
            TGV_SPLIT_STEP, device, x=self.x, v=self.w, p=self.p, q=self.q, r=self.r, s=self.s,
            t1=problem.alpha1 / mu.gradient, t0=problem.alpha0 / mu.curvature, **self.inverse_spacing,
        )  # fmt: skip
        launch(
            TGV_ADJOINT, device, r=self.r, s=self.s, x=self.x, v=self.w, mu1=mu.gradient, mu0=mu.curvature,
            **self.inverse_spacing,
        )  # fmt: skip
        launch(TV_DATA_STEP, device, ax=self.field, u=self.u, f=problem.data, w2=self.weight2, mu=mu.data)
        launch(
            TV_DATA_STEP, device, ax=self.laplacian, u=self.u_harmonic, f=self.zero, w2=self.stiffness,
            mu=mu.harmonic,
        )  # fmt: skip

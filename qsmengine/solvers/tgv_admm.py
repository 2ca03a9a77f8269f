"""ADMM for weighted deconvolution with second-order total generalised variation."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.tgv import TGV_KSPACE_STEP
from qsmengine.data import Array
from qsmengine.solvers.loop import iterate
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.tgv_split import TgvPenalties, TgvSplit
from qsmengine.solvers.tv_admm import TvProblem


def solve_tgv(
    problem: TvProblem, lam_curvature: float, device: Device, stopping: Stopping, *, penalties: TgvPenalties
) -> Array:
    """Solve min_{x, v} sum W^p loss(A x - f) + lam ||grad x - v||_1 + lam_curvature ||sym grad v||_1 for x.

    `problem` gives all but the last term. Both norms sum absolute values of components per unit of length;
    the symmetric matrix sym grad v counts with all nine. ADMM with the splits z1 = grad x - v,
    z0 = sym grad v, z2 = A x. An iteration is ten real FFTs, one pass in k-space, where x and v are solved
    for together in closed form, two over the 13 images of the splits and one over the data.

    Parameters
    ----------
    problem, lam_curvature, device
        Problem, and the device of its arrays.
    stopping
        Stopping rule on x; see :func:`qsmengine.solvers.loop.iterate`.
    penalties
        Penalty weights; they change the speed, not the solution.

    References
    ----------
    Bredies et al. 2010, 10.1137/090769521; Milovic et al. 2018, 10.1002/mrm.27073.
    """
    state = TgvAdmm(problem, lam_curvature, device, penalties)
    iterate(state.iterate, lambda: state.split.x, stopping)
    return state.split.x


class TgvAdmm:
    """State of the ADMM of :func:`solve_tgv`; `split` holds x and v."""

    def __init__(
        self, problem: TvProblem, lam_curvature: float, device: Device, penalties: TgvPenalties
    ) -> None:
        nx, ny, nz = problem.data.shape
        self.problem, self.device, self.penalties = problem, device, penalties
        self.fft = fft = RealFFT((nx, ny, nz), device)
        self.split = TgvSplit(fft, problem.spacing, problem.lam, lam_curvature, penalties)
        self.weight2 = problem.weight * problem.weight
        self.u, self.ax = device.zeros(fft.shape), device.zeros(fft.shape)
        self.gradient, self.data = (device.empty(fft.spectrum_shape, np.complex64) for _ in range(2))
        self.v_spectrum = device.empty((3, *fft.spectrum_shape), np.complex64)
        self._replay = Replay(device)

    def iterate(self) -> None:
        """One iteration."""
        self._replay(self._step)

    def _step(self, turn: int) -> None:  # noqa: ARG002  (every turn is the same)
        problem, device, fft, mu, split = self.problem, self.device, self.fft, self.penalties, self.split
        split.step()
        problem.data_step(device, ax=self.ax, u=self.u, f=problem.data, w2=self.weight2, mu=mu.data)
        images = (split.x, self.ax, *split.v)
        spectra = (self.gradient, self.data, *self.v_spectrum)
        for image, spectrum in zip(images, spectra, strict=True):
            fft.forward(image, spectrum)
        launch(
            TGV_KSPACE_STEP, device, gradient=self.gradient, data=self.data, v=self.v_spectrum,
            response=problem.response, mu1=mu.gradient, mu2=mu.data, mu0=mu.curvature, scale=fft.scale,
            **split.differences,
        )  # fmt: skip
        for image, spectrum in zip(images, spectra, strict=True):
            fft.inverse(spectrum, image, scaled=False)

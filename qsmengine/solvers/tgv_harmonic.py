"""ADMM for deconvolution with total generalised variation of data with a nearly harmonic field."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.tgv_harmonic import TGV_HARMONIC_KSPACE_STEP
from qsmengine.data import Array
from qsmengine.solvers.loop import iterate
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.tgv_split import TgvPenalties, TgvSplit
from qsmengine.solvers.tv_admm import TvProblem
from qsmengine.solvers.tv_harmonic import HarmonicSplit, HarmonicTerm


def solve_tgv_harmonic(
    problem: TvProblem,
    lam_curvature: float,
    harmonic: HarmonicTerm,
    device: Device,
    stopping: Stopping,
    *,
    penalties: TgvPenalties,
    mu_harmonic: float,
) -> Array:
    """Solve min_{x, v, h} of :func:`qsmengine.solvers.tgv_admm.solve_tgv` with A x + h for A x; returns x.

    The harmonic term beta / 2 ||M laplace h||^2 is added. An iteration is twelve real FFTs, one pass in
    k-space, and one for each split.

    Parameters
    ----------
    problem, lam_curvature, harmonic, device
        Problem, and the device of its arrays.
    stopping
        Stopping rule on x; see :func:`qsmengine.solvers.loop.iterate`.
    penalties, mu_harmonic
        Penalty weights of the splits and of that of laplace h; they change the speed, not the solution.

    References
    ----------
    Bredies et al. 2010, 10.1137/090769521 (the regulariser); Milovic et al. 2018, 10.1002/mrm.27073 (ADMM).
    """
    state = _HarmonicTgvAdmm(problem, lam_curvature, harmonic, device, penalties, mu_harmonic)
    iterate(state.iterate, lambda: state.split.x, stopping)
    return state.split.x


class _HarmonicTgvAdmm:
    def __init__(
        self,
        problem: TvProblem,
        lam_curvature: float,
        harmonic: HarmonicTerm,
        device: Device,
        penalties: TgvPenalties,
        mu_harmonic: float,
    ) -> None:
        nx, ny, nz = problem.data.shape
        self.problem, self.device = problem, device
        self.fft = fft = RealFFT((nx, ny, nz), device)
        self.split = TgvSplit(fft, problem.spacing, problem.lam, lam_curvature, penalties)
        self.field = HarmonicSplit(problem, harmonic, device, penalties.data, mu_harmonic)
        self.mu = {
            "mu1": penalties.gradient, "mu0": penalties.curvature, "mu2": penalties.data, "mu3": mu_harmonic,
        }  # fmt: skip
        self.spectra = {
            name: device.empty(fft.spectrum_shape, np.complex64)
            for name in ("gx", "g1", "g2", "g3", "data", "harmonic")
        }
        self._replay = Replay(device)

    def iterate(self) -> None:
        """One iteration."""
        self._replay(self._step)

    def _step(self, turn: int) -> None:  # noqa: ARG002  (every turn is the same)
        fft, split, field = self.fft, self.split, self.field
        split.step()
        field.step()
        images = (split.x, *split.v, field.field, field.laplacian)
        for image, spectrum in zip(images, self.spectra.values(), strict=True):
            fft.forward(image, spectrum)
        launch(
            TGV_HARMONIC_KSPACE_STEP, self.device, response=self.problem.response, scale=fft.scale,
            **self.mu, **split.differences, **self.spectra,
        )  # fmt: skip
        for image, spectrum in zip(images, self.spectra.values(), strict=True):
            fft.inverse(spectrum, image, scaled=False)

"""ADMM for total-variation deconvolution of data with a nearly harmonic field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.tv import TV_DATA_STEP, TV_HARMONIC_KSPACE_STEP
from qsmengine.data import Array
from qsmengine.solvers.loop import iterate
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.tv_admm import GradientSplit, TvProblem
from qsmengine.solvers.uniform import UniformRegions

RELAX = 0.85
"""Over-relaxation: steps are 1.85 times those of plain ADMM, which converges for less than 2."""


@dataclass(frozen=True)
class HarmonicTerm:
    """Term beta / 2 ||M laplace h||^2, added to a :class:`TvProblem` with A x + h in its data term.

    Parameters
    ----------
    region
        M, float32 (nx, ny, nz): 1 where h should be harmonic.
    beta
        Weight; the Laplacian is the 7-point one per squared unit of length.
    """

    region: Array
    beta: float


def solve_tv_harmonic(
    problem: TvProblem,
    harmonic: HarmonicTerm,
    device: Device,
    stopping: Stopping,
    *,
    mu_gradient: float,
    mu_data: float,
    mu_harmonic: float,
    uniform: UniformRegions | None = None,
) -> Array:
    """Solve min_{x, h} sum W^2 loss(A x + h - f) + lam ||grad x||_1 + beta / 2 ||M laplace h||^2; returns x.

    Over-relaxed ADMM with the splits z1 = grad x, z2 = A x + h, z3 = laplace h. An iteration is six real FFTs,
    one pass in k-space, where x and h are solved for together, and one pass for each split.

    Parameters
    ----------
    problem, harmonic, device
        Problem, and the device of its arrays.
    stopping
        Stopping rule on x; see :func:`qsmengine.solvers.loop.iterate`.
    mu_gradient, mu_data, mu_harmonic
        Penalty weights of the splits; they change the speed, not the solution.
    uniform
        Regions in each of which x should be uniform, or None.

    References
    ----------
    Milovic et al. 2019, 10.1002/mrm.27483; Eckstein & Bertsekas 1992, 10.1007/BF01581204 (over-relaxation).
    """
    state = _HarmonicAdmm(problem, harmonic, device, mu_gradient, mu_data, mu_harmonic, uniform)
    iterate(state.iterate, lambda: state.split.x, stopping)
    return state.split.x


class HarmonicSplit:
    """The splits z2 = A x + h and z3 = laplace h with their scaled multipliers.

    Parameters
    ----------
    problem, harmonic, device, mu_data, mu_harmonic
        As in :func:`solve_tv_harmonic`.
    relax
        Over-relaxation, as in :class:`~qsmengine.solvers.tv_admm.GradientSplit`.

    Attributes
    ----------
    field, laplacian
        A x + h and laplace h, and after :meth:`step` their right-hand sides.
    """

    def __init__(
        self,
        problem: TvProblem,
        harmonic: HarmonicTerm,
        device: Device,
        mu_data: float,
        mu_harmonic: float,
        relax: float = 0.0,
    ) -> None:
        shape = tuple(problem.data.shape)
        self.problem, self.device, self.relax = problem, device, relax
        self.mu_data, self.mu_harmonic = mu_data, mu_harmonic
        self.weight2 = problem.weight * problem.weight
        self.stiffness = np.float32(harmonic.beta) * harmonic.region * harmonic.region
        self.zero = device.zeros(shape)
        self.u, self.field = device.zeros(shape), device.zeros(shape)
        self.u_harmonic, self.laplacian = device.zeros(shape), device.zeros(shape)

    def step(self) -> None:
        """Proximal steps of the data and of the Laplacian."""
        problem, device, relax = self.problem, self.device, self.relax
        problem.data_step(
            device, ax=self.field, u=self.u, f=problem.data, w2=self.weight2, mu=self.mu_data, relax=relax
        )
        launch(
            TV_DATA_STEP, device, ax=self.laplacian, u=self.u_harmonic, f=self.zero, w2=self.stiffness,
            mu=self.mu_harmonic, relax=relax,
        )  # fmt: skip


class _HarmonicAdmm:
    def __init__(
        self,
        problem: TvProblem,
        harmonic: HarmonicTerm,
        device: Device,
        mu_gradient: float,
        mu_data: float,
        mu_harmonic: float,
        uniform: UniformRegions | None,
    ) -> None:
        nx, ny, nz = problem.data.shape
        self.problem, self.device = problem, device
        pull = None if uniform is None else (uniform, uniform.mu / mu_gradient)
        self.penalties = {"mu1": mu_gradient, "mu2": mu_data, "mu3": mu_harmonic}
        self.penalties["pull"] = 0.0 if pull is None else pull[1]
        self.fft = RealFFT((nx, ny, nz), device)
        self.split = GradientSplit(
            self.fft, problem.spacing, problem.lam / mu_gradient, relax=RELAX, faces=problem.faces, pull=pull
        )
        self.field = HarmonicSplit(problem, harmonic, device, mu_data, mu_harmonic, RELAX)
        self.data_spectrum = device.empty(self.fft.spectrum_shape, np.complex64)
        self.harmonic_spectrum = device.empty(self.fft.spectrum_shape, np.complex64)
        self._replay = Replay(device, turns=2)

    def iterate(self) -> None:
        self._replay(self._step)

    def _step(self, turn: int) -> None:
        split, field = self.split, self.field
        split.shrink(turn)
        field.step()
        images = {
            "gradient": (split.adjoint, split.spectrum, split.x),
            "data": (field.field, self.data_spectrum, field.field),
            "harmonic": (field.laplacian, self.harmonic_spectrum, field.laplacian),
        }
        self.fft.through(
            TV_HARMONIC_KSPACE_STEP, images, response=self.problem.response, relax=RELAX, scale=self.fft.scale,
            **self.penalties, **split.laplacian,
        )  # fmt: skip

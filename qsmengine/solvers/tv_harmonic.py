"""ADMM for total-variation deconvolution of data with a nearly harmonic field."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.pieces import in_pieces
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.tv import TV_DATA_STEP, TV_HARMONIC_KSPACE_STEP
from qsmengine.data import Array
from qsmengine.solvers.edge_relaxation import EdgeRelaxation
from qsmengine.solvers.loop import iterate
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.tv_admm import GradientSplit, TvProblem
from qsmengine.solvers.uniform import UniformRegions

RELAX = 0.85
"""Over-relaxation: steps are 1.85 times those of plain ADMM, which converges for less than 2."""


RETURN_PERIOD = 3
"""Iterations between two returns of the residual; the first comes after twice as many."""


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
    smoothing: Array | None = None,
    relaxation: EdgeRelaxation | None = None,
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
    smoothing
        Half spectrum (nx, ny, nz // 2 + 1) of a low-pass filter of gain 1 at 0: the residual is returned to
        the data (:class:`ReturnedResidual`). None: it is not.
    relaxation
        Removes the edges of x from the total variation; needs `problem.faces`. None: none are removed.

    References
    ----------
    Milovic et al. 2019, 10.1002/mrm.27483; Eckstein & Bertsekas 1992, 10.1007/BF01581204 (over-relaxation).
    """
    state = _HarmonicAdmm(problem, harmonic, device, mu_gradient, mu_data, mu_harmonic, uniform)
    if smoothing is not None:
        state.return_residual(smoothing)
    if relaxation is not None:
        state.relax_edges(relaxation)
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
        self.weight2, self.stiffness = device.empty(shape), device.empty(shape)

        def square(weight: Array, region: Array, weight2: Array, stiffness: Array) -> None:
            device.xp.multiply(weight, weight, out=weight2)
            device.xp.multiply(np.float32(harmonic.beta), region, out=stiffness)
            stiffness *= region

        in_pieces(square, (problem.weight, harmonic.region, self.weight2, self.stiffness), device)
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


class ReturnedResidual:
    """Bregman iteration with a smooth residual: f <- f + G W^2 (f_0 - A x - h) / (G W^2) every few iterations.

    Total variation lowers the contrast of all structures, which leaves their field in the residual. Noise is
    nearly white, so a low-pass filter G keeps the former and removes most of the latter. At convergence the
    filtered residual is 0. The residual follows from the multiplier u of the data split, mu u = W^2 loss',
    so outliers count as little as in the data term.

    Parameters
    ----------
    split
        Its `problem.data` is copied and changed.
    fft, smoothing
        Transforms of the grid, and the half spectrum of G.

    References
    ----------
    Osher et al. 2005, 10.1137/040605412.
    """

    def __init__(self, split: HarmonicSplit, fft: RealFFT, smoothing: Array) -> None:
        self._split, self._fft, self._smoothing = split, fft, smoothing
        self._first = split.problem.data
        split.problem = replace(split.problem, data=self._first.copy())
        xp = split.device.xp
        self._share = fft.filter(split.weight2, smoothing)

        def divide(share: Array, weight2: Array) -> None:
            xp.divide(weight2 > 0, xp.maximum(share, np.float32(1e-6)), out=share)

        in_pieces(divide, (self._share, split.weight2), split.device)
        self._done = 0

    def count(self) -> None:
        """Count an iteration; return the residual if it is due."""
        self._done += 1
        if self._done > RETURN_PERIOD and self._done % RETURN_PERIOD == 0:
            self.add()

    def add(self) -> None:
        """Add the filtered residual to the data."""
        split, data = self._split, self._split.problem.data
        misfit = split.device.empty(data.shape)
        mu = np.float32(split.mu_data)

        def find(misfit: Array, data: Array, first: Array, weight2: Array, u: Array) -> None:
            split.device.xp.subtract(data, first, out=misfit)
            misfit *= weight2
            misfit += mu * u

        def give_back(data: Array, returned: Array, share: Array) -> None:
            returned *= share
            data -= returned

        in_pieces(find, (misfit, data, self._first, split.weight2, split.u), split.device)
        in_pieces(give_back, (data, self._fft.filter(misfit, self._smoothing), self._share), split.device)


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
        self._returned: ReturnedResidual | None = None
        self._relaxation: EdgeRelaxation | None = None
        self._done = 0

    def return_residual(self, smoothing: Array) -> None:
        self._returned = ReturnedResidual(self.field, self.fft, smoothing)

    def relax_edges(self, relaxation: EdgeRelaxation) -> None:
        if self.split.faces is None:
            raise ValueError("edges are relaxed in the faces of the problem, which has none")
        self._relaxation = relaxation
        self.split.faces = self.split.faces.copy()

    def iterate(self) -> None:
        self._replay(self._step)
        self._done += 1
        if self._returned is not None:
            self._returned.count()
        relaxation, faces = self._relaxation, self.split.faces
        if relaxation is not None and faces is not None and self._done in relaxation.iterations:
            relaxation.apply(self.split.x, faces, self.problem.spacing)

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

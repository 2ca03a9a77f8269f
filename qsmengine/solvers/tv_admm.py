"""ADMM for total-variation regularised, weighted deconvolution."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.tv import (
    TV_DATA_STEP,
    TV_DATA_STEP_NONLINEAR,
    TV_GRADIENT_STEP,
    TV_GRADIENT_STEP_FACES,
    TV_KSPACE_STEP,
)
from qsmengine.backend.signatures.tv_absolute import TV_DATA_STEP_ABSOLUTE, TV_DATA_STEP_ABSOLUTE_PHASE
from qsmengine.data import Array
from qsmengine.grid import Vector3
from qsmengine.ops.gradient import laplacian_spectra
from qsmengine.records import record
from qsmengine.solvers.loop import iterate
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.uniform import UniformRegions


class DataStep(Protocol):
    """Proximal step of the data term: z2 from A x + u, in place.

    With s = ax - `relax` u + u and z2 = argmin W^p loss(z - f) + mu/2 (z - s)^2, `u` becomes s - z2 and `ax`
    becomes z2 minus the new u, the target of A x. On entry, `ax` is (1 + relax) A x minus relax times the last
    target. `w2` is W^2; all arrays (nx, ny, nz). p is the order of the loss: 2, or 1 for absolute errors.
    """

    def __call__(
        self, device: Device, *, ax: Array, u: Array, f: Array, w2: Array, mu: float, relax: float = 0.0
    ) -> None:
        """Update `ax` and `u`."""


def squared_error(
    device: Device, *, ax: Array, u: Array, f: Array, w2: Array, mu: float, relax: float = 0.0
) -> None:
    """Data step of loss(e) = e^2 / 2."""
    launch(TV_DATA_STEP, device, ax=ax, u=u, f=f, w2=w2, mu=mu, relax=relax)


@record
class PhaseError:
    """Data step of loss(e) = (1 - cos(r e)) / r^2: e^2 / 2 for small e, invariant to whole turns of r e.

    Parameters
    ----------
    radians
        r, the phase [rad] of one unit of the data.
    """

    radians: float

    def __call__(
        self, device: Device, *, ax: Array, u: Array, f: Array, w2: Array, mu: float, relax: float = 0.0
    ) -> None:
        """Update `ax` and `u`."""
        launch(
            TV_DATA_STEP_NONLINEAR, device, ax=ax, u=u, f=f, w2=w2, mu=mu, relax=relax, radians=self.radians,
        )  # fmt: skip


def absolute_error(
    device: Device, *, ax: Array, u: Array, f: Array, w2: Array, mu: float, relax: float = 0.0
) -> None:
    """Data step of loss(e) = |e|, weighted by W."""
    launch(TV_DATA_STEP_ABSOLUTE, device, ax=ax, u=u, f=f, w2=w2, mu=mu, relax=relax)


@record
class AbsolutePhaseError:
    """Data step of loss(e) = |exp(i r e) - 1| / r, weighted by W: |e| for small e, invariant to whole turns.

    Parameters
    ----------
    radians
        r, the phase [rad] of one unit of the data.
    """

    radians: float

    def __call__(
        self, device: Device, *, ax: Array, u: Array, f: Array, w2: Array, mu: float, relax: float = 0.0
    ) -> None:
        """Update `ax` and `u`."""
        launch(
            TV_DATA_STEP_ABSOLUTE_PHASE, device, ax=ax, u=u, f=f, w2=w2, mu=mu, relax=relax,
            radians=self.radians,
        )  # fmt: skip


@record
class TvProblem:
    """min_x sum W^p loss(A x - f) + lam ||grad x||_1 on a periodic grid, x of zero mean; p the loss's order.

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
        the result independent of the storage order of the axes.
    data_step
        The loss, by its data step: half the squared error by default.
    faces
        Differences in the total variation, uint8 (nx, ny, nz): bit a for the one to the next voxel along axis
        a. None includes all.
    """

    response: Array
    data: Array
    weight: Array
    spacing: Vector3
    lam: float
    data_step: DataStep = squared_error
    faces: Array | None = None


def solve_tv(
    problem: TvProblem,
    device: Device,
    stopping: Stopping,
    *,
    mu_gradient: float,
    mu_data: float,
    start: Array | None = None,
) -> Array:
    """Solve `problem` for x by ADMM with the splits z1 = grad x and z2 = A x.

    An iteration takes four real FFTs, one pass in k-space (the normal equations are diagonal there), one
    fused pass over the gradient and one over the data.

    Parameters
    ----------
    problem, device
        Problem, and the device of its arrays.
    stopping
        Stopping rule on x; see :func:`qsmengine.solvers.loop.iterate`.
    mu_gradient, mu_data
        Penalty weights of the two splits; they change the speed, not the solution.
    start
        First x, float32 (nx, ny, nz); 0 unless given.

    References
    ----------
    Bilgic et al. 2014, 10.1002/mrm.25029; Milovic et al. 2018, 10.1002/mrm.27073 (data split).
    """
    state = TvAdmm(problem, device, mu_gradient=mu_gradient, mu_data=mu_data)
    if start is not None:
        state.split.x[...] = start
        state.ax[...] = state.fft.filter(start, problem.response)
    iterate(state.iterate, lambda: state.split.x, stopping)
    return state.split.x


class GradientSplit:
    """x, its split z1 = grad x with the scaled multiplier p, and the right-hand side they give.

    Parameters
    ----------
    fft
        Transforms of the grid.
    spacing
        Voxel edges.
    threshold
        lam / mu: the amount by which |grad x + p| is shrunk.
    relax
        Over-relaxation: 1 + relax times the step of plain ADMM, from 0 to less than 1.
    faces
        As in :class:`TvProblem`.
    pull
        Regions in each of which x should be uniform, and the penalty of their split divided by mu.

    Attributes
    ----------
    laplacian, curvature
        Spectrum of grad^T grad as a sum over axes, without and with the pull.
    """

    def __init__(
        self,
        fft: RealFFT,
        spacing: Vector3,
        threshold: float,
        *,
        relax: float = 0.0,
        faces: Array | None = None,
        pull: tuple[UniformRegions, float] | None = None,
    ) -> None:
        self.fft, self.device, self.threshold, self.relax, self.faces = fft, fft.device, threshold, relax, faces
        self.inverse_spacing = {f"h{axis}": 1.0 / h for axis, h in zip("xyz", spacing, strict=True)}
        shape, device = fft.shape, fft.device
        self.laplacian = dict(zip(("ex", "ey", "ez"), laplacian_spectra(shape, spacing, device), strict=True))
        self.pull = pull
        self.curvature = dict(self.laplacian)
        if pull is not None:
            self.curvature["ex"] = self.laplacian["ex"] + np.float32(pull[1])
        self.gradients = device.zeros((3, *shape)), device.empty((3, *shape))
        self.x = device.zeros(shape)
        self.adjoint = device.zeros(shape)
        self.spectrum = device.empty(fft.spectrum_shape, np.complex64)

    def step(self, turn: int) -> Array:
        """Do :meth:`shrink`; return the spectrum of `adjoint`."""
        self.shrink(turn)
        return self.fft.forward(self.adjoint, self.spectrum)

    def shrink(self, turn: int) -> None:
        """Shrink the gradient, update the multiplier; `adjoint` becomes grad^T (z1 - p) and the pull.

        The sum grad x + p, which holds both z1 and p, is read from one buffer and written to another. Turns
        alternate between 0 and 1, and with them the buffers.
        """
        g, g_next = self.gradients[turn], self.gradients[1 - turn]
        kernel = TV_GRADIENT_STEP if self.faces is None else TV_GRADIENT_STEP_FACES
        some = {} if self.faces is None else {"faces": self.faces}
        launch(
            kernel, self.device, x=self.x, g=g, g_out=g_next, adjoint=self.adjoint,
            t=self.threshold, relax=self.relax, **self.inverse_spacing, **some,
        )  # fmt: skip
        if self.pull is not None:
            region, factor = self.pull
            region.add_target(self.x, self.adjoint, factor, self.device, self.relax)


class TvAdmm:
    """State of the ADMM of :func:`solve_tv`, for callers that change the weights between iterations.

    Parameters
    ----------
    problem, device, mu_gradient, mu_data
        As in :func:`solve_tv`.
    uniform
        Regions in each of which x should be uniform, or None.

    Attributes
    ----------
    split
        Holds x.
    weight2
        W^2, which may be changed in place.
    """

    def __init__(
        self,
        problem: TvProblem,
        device: Device,
        *,
        mu_gradient: float,
        mu_data: float,
        uniform: UniformRegions | None = None,
    ) -> None:
        nx, ny, nz = problem.data.shape
        self.problem, self.device = problem, device
        self.mu_gradient, self.mu_data = mu_gradient, mu_data
        self.fft = RealFFT((nx, ny, nz), device)
        pull = None if uniform is None else (uniform, uniform.mu / mu_gradient)
        self.split = GradientSplit(
            self.fft, problem.spacing, problem.lam / mu_gradient, faces=problem.faces, pull=pull
        )
        self.weight2 = problem.weight * problem.weight
        self.u, self.ax = device.zeros(self.fft.shape), device.zeros(self.fft.shape)
        self.data_spectrum = device.empty(self.fft.spectrum_shape, np.complex64)
        self._replay = Replay(device, turns=2)

    def iterate(self) -> None:
        """One iteration."""
        self._replay(self._step)

    def _step(self, turn: int) -> None:
        problem, device = self.problem, self.device
        gradient = self.split.step(turn)
        problem.data_step(device, ax=self.ax, u=self.u, f=problem.data, w2=self.weight2, mu=self.mu_data)
        self.fft.forward(self.ax, self.data_spectrum)
        launch(
            TV_KSPACE_STEP, device, gradient=gradient, data=self.data_spectrum,
            response=problem.response, mu1=self.mu_gradient, mu2=self.mu_data, relax=0.0, scale=self.fft.scale,
            **self.split.curvature,
        )  # fmt: skip
        self.fft.inverse(gradient, self.split.x, scaled=False)
        self.fft.inverse(self.data_spectrum, self.ax, scaled=False)

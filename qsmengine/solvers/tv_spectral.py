"""ADMM for total variation with data in some bins of k-space."""

from __future__ import annotations

from dataclasses import dataclass

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.tv import TV_KSPACE_STEP
from qsmengine.data import Array
from qsmengine.grid import Vector3
from qsmengine.solvers.loop import iterate
from qsmengine.solvers.stopping import SolverStatus, Stopping
from qsmengine.solvers.tv_admm import GradientSplit


@dataclass(frozen=True)
class SpectralTvProblem:
    """Problem min_x 1/2 ||P (x - g)||^2 + lam ||grad x||_1 on a periodic grid, P a filter.

    x has zero mean if P has.

    Parameters
    ----------
    filter
        Half spectrum of P, float32 (nx, ny, nz // 2 + 1): 1 for the bins that are known, 0 for the others.
    target
        g, float32 (nx, ny, nz).
    spacing
        Voxel edges, for the gradient per unit of length.
    lam
        Weight of the total variation, the sum of |dx|, |dy| and |dz| per unit of length.
    """

    filter: Array
    target: Array
    spacing: Vector3
    lam: float


def solve_tv_spectral(
    problem: SpectralTvProblem, device: Device, stopping: Stopping, *, mu_gradient: float
) -> tuple[Array, SolverStatus]:
    """Solve `problem` by ADMM with the split z = grad x; return x and the final status.

    An iteration takes two real FFTs, one pass in k-space and one over the gradient. It starts at x = g.

    Parameters
    ----------
    problem, device
        Problem, and the device of its arrays.
    stopping
        Stopping rule on x; see :func:`qsmengine.solvers.loop.iterate`.
    mu_gradient
        Penalty weight of the split; it changes the speed, not the solution.
    """
    nx, ny, nz = problem.target.shape
    fft = RealFFT((nx, ny, nz), device)
    split = GradientSplit(fft, problem.spacing, problem.lam / mu_gradient)
    split.x[...] = problem.target
    known = fft.forward(problem.target)
    known *= problem.filter
    work = known.copy()
    replay = Replay(device, turns=2)

    def step(turn: int) -> None:
        gradient = split.step(turn)
        work[...] = known
        launch(
            TV_KSPACE_STEP, device, gradient=gradient, data=work, response=problem.filter,
            mu1=mu_gradient, mu2=1.0, relax=0.0, scale=fft.scale, **split.laplacian,
        )  # fmt: skip
        fft.inverse(gradient, split.x, scaled=False)

    status = iterate(lambda: replay(step), lambda: split.x, stopping)
    return split.x, status

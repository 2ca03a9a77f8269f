"""The splits of total generalised variation, shared by the solvers that differ in their data term."""

from __future__ import annotations

from dataclasses import dataclass

from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tgv import TGV_ADJOINT, TGV_SPLIT_STEP
from qsmengine.grid import Vector3
from qsmengine.ops.gradient import difference_spectra


@dataclass(frozen=True)
class TgvPenalties:
    """ADMM penalty weights of the splits grad x - v, sym grad v and the data; they set the speed only."""

    gradient: float
    curvature: float
    data: float


class TgvSplit:
    """x and v with the splits z1 = grad x - v, z0 = sym grad v and their scaled multipliers.

    Parameters
    ----------
    fft
        Transforms of the grid.
    spacing
        Voxel edges.
    lam, lam_curvature
        Weights of ||grad x - v||_1 and ||sym grad v||_1.
    penalties
        Penalty weights of the splits.
    """

    def __init__(
        self, fft: RealFFT, spacing: Vector3, lam: float, lam_curvature: float, penalties: TgvPenalties
    ) -> None:
        device, shape = fft.device, fft.shape
        self.device, self.penalties = device, penalties
        self.thresholds = {"t1": lam / penalties.gradient, "t0": lam_curvature / penalties.curvature}
        self.inverse_spacing = {f"h{axis}": 1.0 / h for axis, h in zip("xyz", spacing, strict=True)}
        self.differences = dict(
            zip(("ex", "ey", "ez"), difference_spectra(shape, spacing, device), strict=True)
        )
        self.x, self.v = device.zeros(shape), device.zeros((3, *shape))
        self.p, self.q = device.zeros((3, *shape)), device.zeros((6, *shape))
        self.r, self.s = device.empty((3, *shape)), device.empty((6, *shape))

    def step(self) -> None:
        """Shrink and update the multipliers; x and v become the right-hand sides of their normal equations."""
        launch(
            TGV_SPLIT_STEP, self.device, x=self.x, v=self.v, p=self.p, q=self.q, r=self.r, s=self.s,
            **self.thresholds, **self.inverse_spacing,
        )  # fmt: skip
        launch(
            TGV_ADJOINT, self.device, r=self.r, s=self.s, x=self.x, v=self.v, mu1=self.penalties.gradient,
            mu0=self.penalties.curvature, **self.inverse_spacing,
        )  # fmt: skip

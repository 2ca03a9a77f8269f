"""The Laplacian on a mask, with multigrid as a preconditioner of conjugate gradients.

The operator is the compact difference of 19 points, positive and zero (Dirichlet) outside the mask:

    A v = -sum_d D_d v - sum_{d < e} (h_d^2 + h_e^2) / 12 D_d D_e v,    D_d second differences / h_d^2.

On harmonic functions the terms of second order in h cancel for any voxel edges, so A is accurate to fourth
order; the plain 7 points, with an error of h^2 / 12 times fourth derivatives, are not.

The preconditioner is one V-cycle for the 7 points, which bound A from above and from below: two Jacobi
sweeps with Chebyshev steps, linear restriction of the residual, the same on the next grid, linear
interpolation, two more sweeps. It is symmetric and positive, since the second half mirrors the first.
Grids are coarsened only along the axes with the shortest voxel edges, until the edges are similar.

References: Spotz & Carey 1996, Numer. Methods Partial Differ. Equ. 12:235 (compact differences);
Trottenberg et al. 2001, Multigrid, ISBN 978-0127010700.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.multigrid import MG_COMBINE, MG_COMPACT, MG_PROLONG, MG_RESTRICT
from qsmengine.data import Array
from qsmengine.grid import Vector3

_LOWEST = 1.0 / 3.0
"""Smallest eigenvalue of A / diagonal (all are below 2) not resolved by the next grid, for equal edges."""

_SMALLEST = 4
"""Number of voxels up to which an axis is not coarsened."""

_SWEEPS_ON_COARSEST = 8

_STEPS = tuple(
    1.0 / ((2.0 + _LOWEST) / 2 + (2.0 - _LOWEST) / 2 * math.cos(math.pi * angle)) for angle in (0.25, 0.75)
)
"""Jacobi steps, relative to 1 / diagonal: the inverse roots of the Chebyshev polynomial on [_LOWEST, 2]."""


@dataclass(frozen=True)
class _Level:
    inside: Array
    spacing: Vector3
    factors: tuple[int, int, int]
    """Factors to the next coarser level; (1, 1, 1) on the coarsest."""
    right: Array
    """Right-hand side from the finer level."""
    solution: Array
    other: Array
    """Target of the next sweep; between the halves of the cycle the residual."""

    @property
    def inverse_squares(self) -> dict[str, float]:
        return {f"a{axis}": 1.0 / h**2 for axis, h in zip("xyz", self.spacing, strict=True)}

    @property
    def diagonal(self) -> float:
        return 2.0 * sum(self.inverse_squares.values())


class MaskedLaplacian:
    """The operator and its V-cycle.

    Parameters
    ----------
    inside
        (nx, ny, nz) bool: the unknowns, none of which may lie at an end of the grid.
    spacing
        Voxel edges.
    device
        Device of the arrays.
    """

    def __init__(self, inside: Array, spacing: Vector3, device: Device) -> None:
        self._device = device
        self._levels: list[_Level] = []
        factors = _coarsening(inside.shape, spacing)
        while factors != (1, 1, 1):
            coarse, coarse_spacing = _coarsened(inside, spacing, factors, device)
            if not bool(coarse.any()):
                break
            self._levels.append(self._level(inside, spacing, factors))
            inside, spacing = coarse, coarse_spacing
            factors = _coarsening(inside.shape, spacing)
        self._levels.append(self._level(inside, spacing, (1, 1, 1)))
        self._weights = compact_weights(self._levels[0].spacing)
        self._result = device.zeros(self._levels[0].inside.shape)
        self._right: Array | None = None
        self._replay = Replay(device)

    def _level(self, inside: Array, spacing: Vector3, factors: tuple[int, int, int]) -> _Level:
        right, solution, other = (self._device.zeros(inside.shape) for _ in range(3))
        return _Level(self._device.asarray(inside, np.uint8), spacing, factors, right, solution, other)

    def apply(self, v: Array) -> Array:
        """Return A v at the unknowns, 0 elsewhere, where `v` is ignored. Results share one buffer."""
        launch(
            MG_COMPACT, self._device, v=v, inside=self._levels[0].inside, out=self._result, **self._weights
        )  # fmt: skip
        return self._result

    def precondition(self, r: Array) -> Array:
        """Run one V-cycle for A v = r from v = 0; `r` must be 0 except at the unknowns.

        Results share one buffer. On a GPU, cycles for the content of the same array `r` are replayed.
        """
        if r is not self._right:
            self._right, self._replay = r, Replay(self._device)
        self._replay(lambda _: self._cycle(0, r))
        return self._levels[0].solution

    def _cycle(self, depth: int, r: Array) -> Array:
        level, device = self._levels[depth], self._device
        first, second = (step / level.diagonal for step in _STEPS)
        current, other = level.solution, level.other
        # two sweeps from zero: first r + second (r - A first r)
        self._combine(level, r, r, current, keep=first + second, add=0.0, omega=first * second)
        if depth + 1 == len(self._levels):
            for _ in range(_SWEEPS_ON_COARSEST - 1):
                current, other = self._sweep_twice(level, r, current, other)
            return current
        coarse = self._levels[depth + 1]
        self._combine(level, current, r, other, keep=0.0, add=1.0, omega=1.0)
        factors = dict(zip(("fx", "fy", "fz"), level.factors, strict=True))
        launch(MG_RESTRICT, device, fine=other, inside=coarse.inside, coarse=coarse.right, **factors)
        correction = self._cycle(depth + 1, coarse.right)
        launch(MG_PROLONG, device, fine=current, inside=level.inside, coarse=correction, **factors)
        current, _ = self._sweep_twice(level, r, current, other)
        return current

    def _sweep_twice(self, level: _Level, r: Array, current: Array, other: Array) -> tuple[Array, Array]:
        for step in _STEPS:
            self._combine(level, current, r, other, keep=1.0, add=1.0, omega=step / level.diagonal)
            current, other = other, current
        return current, other

    def _combine(
        self, level: _Level, v: Array, b: Array, out: Array, *, keep: float, add: float, omega: float
    ) -> None:
        """Write keep v + omega (add b - A v) to `out`."""
        launch(
            MG_COMBINE, self._device, v=v, b=b, inside=level.inside, out=out, keep=keep, add=add, omega=omega,
            **level.inverse_squares,
        )  # fmt: skip


def compact_weights(spacing: Vector3) -> dict[str, float]:
    """Return the weights of A: voxel (centre), neighbours along axes (f), diagonal neighbours (e)."""
    a = dict(zip("xyz", (1.0 / h**2 for h in spacing), strict=True))
    mixed = {pair: (a[pair[0]] + a[pair[1]]) / 12.0 for pair in ("xy", "xz", "yz")}
    weights = {"centre": 2.0 * sum(a.values()) - 4.0 * sum(mixed.values())}
    for axis, inverse_square in a.items():
        weights[f"f{axis}"] = 2.0 * sum(c for pair, c in mixed.items() if axis in pair) - inverse_square
    return weights | {f"e{pair}": -c for pair, c in mixed.items()}


def _coarsening(shape: tuple[int, ...], spacing: Vector3) -> tuple[int, int, int]:
    """Return factor 2 for coarsenable axes whose voxel edge is within a factor 1.5 of the shortest."""
    worth = [n > _SMALLEST for n in shape]
    if not any(worth):
        return (1, 1, 1)
    shortest = min(h for h, w in zip(spacing, worth, strict=True) if w)
    fx, fy, fz = (2 if w and h < 1.5 * shortest else 1 for h, w in zip(spacing, worth, strict=True))
    return fx, fy, fz


def _coarsened(
    inside: Array, spacing: Vector3, factors: tuple[int, int, int], device: Device
) -> tuple[Array, Vector3]:
    """Select every second voxel along axes of factor 2, the last at or beyond the fine grid's end."""
    beyond = [(0, int(f == 2 and n % 2 == 0)) for n, f in zip(inside.shape, factors, strict=True)]
    coarse = device.xp.pad(inside[tuple(slice(None, None, f) for f in factors)], beyond)
    x, y, z = (h * f for h, f in zip(spacing, factors, strict=True))
    return coarse, (x, y, z)

"""Residue functions of one shape for all transit times, and tables of the curves they give.

Transit times t of a shape (plateau p, k) with the mean M are at least p M; what exceeds p M has a gamma
distribution of the shape k. The residue function, the part of the agent that is still in the tissue, is

    R(t) = 1 for t < p M, else Q(k, k (t - p M) / ((1 - p) M))

with the regularised upper incomplete gamma function Q; k is a multiple of 1/2. k = 1 and p = 0 give
exp(-t / M), a large k gives a box. The curve is C = F a * R, with a natural cubic spline a through the samples
of the AIF.
The rule of the integral is

- `trapezoid`: R is integrated exactly against an AIF that is linear between points a quarter of a frame apart;
- `rectangle`: C(t) = F dt sum_j R(j dt) a(t - j dt).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from qsmengine.stages.perfusion.transform import FloatArray

Rule = Literal["trapezoid", "rectangle"]
_ROW = 0.2
"""Largest distance of the rows of a table in log M."""
_FINE = 4
"""Points per frame of the convolution."""
_NEAR = 1e-3
"""Distance in log M of the differences that stand for derivatives."""


class Residue(NamedTuple):
    """Shape of the transit times: `plateau` p [1], `shape` k [1], a multiple of 1/2."""

    plateau: float = 0.0
    shape: float = 1.0

    def left(self, times: FloatArray, transit: float | FloatArray) -> FloatArray:
        """Return R (..., time) at `times` (time,), for mean transit times (..., 1) in the same unit."""
        after, scale = self._after(times, transit)
        return np.asarray(_upper(self.shape, after / scale))

    def integrals(self, times: FloatArray, transit: float | FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return int_0^t R(s) ds and int_0^t (t - s) R(s) ds (..., time) at `times` >= 0, as :meth:`left`."""
        after, scale = self._after(times, transit)
        k, x = self.shape, after / scale
        rest = _upper(k, x)
        more = rest + _step(k, x)
        once = after * rest + k * scale * (1.0 - more)
        beyond = 1.0 - more - _step(k + 1.0, x)
        moment = 0.5 * after**2 * rest + 0.5 * k * (k + 1.0) * scale**2 * beyond
        early = np.minimum(times, self.plateau * transit)
        return early + once, early * (times - 0.5 * early) + after * once - moment

    def _after(self, times: FloatArray, transit: float | FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the time after the plateau, and the scale of its gamma distribution."""
        scale = np.asarray((1.0 - self.plateau) * transit / self.shape)
        return np.maximum(times - self.plateau * transit, 0.0), scale


EXPONENTIAL = Residue()


class Mixture(NamedTuple):
    """Transit times of two shapes with the same mean, in equal parts of the flow: R is the mean of theirs."""

    first: Residue
    second: Residue

    def left(self, times: FloatArray, transit: float | FloatArray) -> FloatArray:
        """Return R (..., time) as :meth:`Residue.left`."""
        return np.asarray(0.5 * (self.first.left(times, transit) + self.second.left(times, transit)))

    def integrals(self, times: FloatArray, transit: float | FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the integrals of R (..., time) as :meth:`Residue.integrals`."""
        once, twice = zip(*(part.integrals(times, transit) for part in self), strict=True)
        return np.asarray(0.5 * sum(once)), np.asarray(0.5 * sum(twice))


class Table(NamedTuple):
    """Curves (row, node, 4) for unit flow and their derivatives with respect to time, row and both, in frames.

    Row r has log M = `lowest` + r `width`; node k is frame k - `margin`.
    """

    nodes: FloatArray
    lowest: float
    width: float
    margin: int


def curve_table(
    aif: FloatArray,
    residue: Residue | Mixture,
    rule: Rule,
    transits: tuple[float, float],
    delays: tuple[float, float],
) -> Table:
    """Return the table of an AIF (frame,) for the ranges of mean transit times and delays in frames."""
    margin = math.ceil(max(-delays[0], delays[1])) + 2
    fine = 1 if rule == "rectangle" else _FINE
    signals = _refined(spline_nodes(aif, margin), fine)
    count = signals.shape[1]
    lowest, highest = (math.log(transit) for transit in transits)
    rows = max(math.ceil((highest - lowest) / _ROW), 1) + 1
    width = (highest - lowest) / (rows - 1)
    means = fine * np.exp(lowest + width * np.arange(rows))[:, np.newaxis]
    weights = _weights(residue, rule, means, count) / fine
    weights[1] *= width
    before = np.pad(signals, ((0, 0), (count - 1, 0)))
    past = np.lib.stride_tricks.sliding_window_view(before, count, axis=1)[:, ::fine, ::-1]
    nodes = np.einsum("skj,drj->rkds", past, weights, optimize=True).reshape(rows, count // fine, 4)
    return Table(nodes, lowest, width, margin)


def _refined(nodes: FloatArray, fine: int) -> FloatArray:
    """Return values and slopes (2, point) of the cubic through `nodes` (node, 2), `fine` points per frame."""
    low, high = nodes, np.concatenate([nodes[1:], nodes[-1:]])
    w = np.arange(fine)[:, np.newaxis] / fine
    rise, early, late = w**2 * (3 - 2 * w), w * (1 - w) ** 2, -(w**2) * (1 - w)
    up = high[:, 0] - low[:, 0]
    values = low[:, 0] + rise * up + early * low[:, 1] + late * high[:, 1]
    slopes = 6 * w * (1 - w) * up + (1 - w) * (1 - 3 * w) * low[:, 1] + w * (3 * w - 2) * high[:, 1]
    return np.stack([values.T.reshape(-1), slopes.T.reshape(-1)])


def spline_nodes(curve: FloatArray, margin: int) -> FloatArray:
    """Return values and slopes (node, 2) of the natural cubic spline through a curve (frame,).

    Node k is frame k - `margin`. The curve is 0 before its first frame and constant after its last.
    """
    values = np.concatenate([np.zeros(margin), curve, np.full(margin + 2, curve[-1])])
    count = values.size
    matrix = 4.0 * np.eye(count) + np.eye(count, k=1) + np.eye(count, k=-1)
    matrix[0, 0] = matrix[-1, -1] = 2.0
    padded = np.pad(values, 1, mode="edge")
    return np.stack([values, np.linalg.solve(matrix, 3.0 * (padded[2:] - padded[:-2]))], axis=1)


def _weights(residue: Residue | Mixture, rule: Rule, means: FloatArray, count: int) -> FloatArray:
    """Return weights of the samples and their derivatives in log M (2, row, count).

    `means` M (row, 1) in units of the samples' distance. R is a function of t / M, so that its integrals I and
    J have dJ/dlog M = 2 J - t I.
    """
    times = np.arange(count + 1, dtype=np.float64)
    if rule == "rectangle":
        shorter, here, longer = (residue.left(times[:-1], means * math.exp(by)) for by in (-_NEAR, 0, _NEAR))
        return np.stack([here, (longer - shorter) / (2.0 * _NEAR)])
    once, twice = residue.integrals(times, means)
    both = np.zeros((2, len(means), count + 2))
    both[..., 1:] = twice, 2.0 * twice - times * once
    return np.asarray(np.diff(both, n=2, axis=2))


def _upper(k: float, x: FloatArray) -> FloatArray:
    """Return the regularised upper incomplete gamma function Q(k, x) for a multiple k of 1/2.

    It is built up from Q(1/2, x) = erfc(sqrt(x)) or Q(0, x) = 0.
    """
    first = k % 1.0
    roots = np.sqrt(x) if first else x
    found = np.reshape([math.erfc(root) for root in roots.flat], x.shape) if first else np.zeros_like(x)
    for n in range(math.floor(k)):
        found += _step(first + n, x)
    return np.asarray(found)


def _step(k: float, x: FloatArray) -> FloatArray:
    """Return Q(k + 1, x) - Q(k, x) = x^k exp(-x) / Gamma(k + 1)."""
    return np.asarray(np.exp(k * np.log(np.maximum(x, 1e-300)) - x - math.lgamma(k + 1.0)))

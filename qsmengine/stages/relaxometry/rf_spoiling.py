"""Correction of R1 for incomplete RF spoiling, from a simulation of the protocol.

The transverse magnetisation that survives from one pulse to the next is spoiled only in part by a constant
gradient and by pulses whose phase grows as increment n (n + 1) / 2. The steady state is simulated by extended
phase graphs for a range of T1 and B1, and T1 is fitted to it as if spoiling were complete. The true T1 is then
nearly linear in the apparent one,

    T1 = P_a(B1) + P_b(B1) T1_apparent,

with quadratic polynomials P_a and P_b. Diffusion, which helps spoiling, is not simulated.

References: Preibisch & Deichmann 2009, 10.1002/mrm.21776 (correction); Weigel 2015, 10.1002/jmri.24619
(extended phase graphs).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from qsmengine.data import Array
from qsmengine.grid import FloatArray
from qsmengine.stages.relaxometry.phase_graph import PhaseGraph

T1_RANGE = (0.5, 2.5)
"""Range of T1 that the correction is fitted to [s]."""
B1_RANGE = (0.6, 1.4)
"""Range of B1 relative to its nominal value."""
T1_COUNT, B1_COUNT = 9, 7
"""Numbers of simulated values."""
ORDERS = 6.0
"""Largest order of the phase graph, in decay times T2 / TR."""
SETTLED = 6.0
"""Duration of the approach to the steady state, in units of the longest T1."""

Apparent: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]
"""Signals (angle, voxel) and B1 (voxel,) -> apparent T1 (voxel,) [s]."""


class SpoilingTable(NamedTuple):
    """Coefficients of T1 in powers of B1: `offset` (3,) [s] and `slope` (3,) [1], lowest power first."""

    offset: FloatArray
    slope: FloatArray

    def corrected(self, t1: Array, b1: Array) -> tuple[Array, Array]:
        """Return T1 [s] and its derivative with the apparent `t1` [s] at `b1`, arrays of one shape."""
        a, b = ([np.float32(c) for c in part] for part in self)
        slope = b[0] + b1 * (b[1] + b1 * b[2])
        return a[0] + b1 * (a[1] + b1 * a[2]) + slope * t1, slope


def spoiling_table(
    flip_angles: FloatArray, repetition_times: FloatArray, t2: float, increment: float, apparent: Apparent
) -> SpoilingTable:
    """Return the correction for flip angles (angle,) [rad] and repetition times (angle,) [s].

    Parameters
    ----------
    flip_angles, repetition_times
        One per acquisition.
    t2
        T2 of the simulation [s].
    increment
        Increment of the pulses' phase [rad].
    apparent
        Estimate of T1 whose error is corrected.
    """
    t1, b1 = (
        grid.ravel()
        for grid in np.meshgrid(
            np.geomspace(*T1_RANGE, T1_COUNT), np.linspace(*B1_RANGE, B1_COUNT), indexing="ij"
        )
    )
    signal = np.stack([
        spoiled_signal(flip * b1, float(tr), t1, t2, increment)
        for flip, tr in zip(flip_angles, repetition_times, strict=True)
    ])  # fmt: skip
    found = apparent(signal, b1)
    powers = b1[:, None] ** np.arange(3)
    design = np.concatenate([powers, powers * found[:, None]], axis=1)
    coefficients = np.linalg.lstsq(design, t1, rcond=None)[0]
    return SpoilingTable(coefficients[:3], coefficients[3:])


def spoiled_signal(flip: FloatArray, tr: float, t1: FloatArray, t2: float, increment: float) -> FloatArray:
    """Return the steady-state signal (voxel,) just after a pulse, per unit of equilibrium magnetisation.

    Parameters
    ----------
    flip, t1
        (voxel,) flip angle [rad] and T1 [s].
    tr, t2
        [s].
    increment
        Increment of the pulses' phase [rad].
    """
    orders = 2 + math.ceil(ORDERS * t2 / tr)
    graph = PhaseGraph.equilibrium(orders, t1.size)
    e1, e2 = np.exp(-tr / t1), np.asarray(math.exp(-tr / t2))
    phase = step = 0.0
    for _ in range(math.ceil(SETTLED * float(t1.max()) / tr)):
        graph = graph.rotated(flip, phase)
        signal = np.abs(graph.plus[0])
        graph = graph.relaxed(e1, e2).dephased()
        step += increment
        phase += step
    return np.asarray(signal)

"""Extended phase graphs: magnetisation as a sum of orders of dephasing, in units of its equilibrium value.

F+(k) and F-(k) are the transverse states of order k >= 0, Z(k) the longitudinal ones. A pulse mixes the
states of one order, a gradient moves F+ up and F- down by one order, and relaxation acts on each.

Reference: Weigel 2015, 10.1002/jmri.24619.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.grid import FloatArray

States = npt.NDArray[np.complex128]


class PhaseGraph(NamedTuple):
    """States of many voxels: `plus`, `minus` and `longitudinal` (order, voxel)."""

    plus: States
    minus: States
    longitudinal: States

    @classmethod
    def equilibrium(cls, orders: int, voxels: int) -> PhaseGraph:
        """Return the equilibrium, with room for `orders` orders."""
        longitudinal = np.zeros((orders, voxels), np.complex128)
        longitudinal[0] = 1.0
        return cls(np.zeros_like(longitudinal), np.zeros_like(longitudinal), longitudinal)

    def rotated(self, flip: FloatArray, phase: float) -> PhaseGraph:
        """Return the states after a pulse of `flip` (voxel,) about an axis at `phase` [rad]."""
        plus, minus, longitudinal = self
        turn = complex(math.cos(phase), math.sin(phase))
        kept, swapped, tipped = np.cos(flip / 2) ** 2, np.sin(flip / 2) ** 2, 1j * np.sin(flip)
        return PhaseGraph(
            kept * plus + turn**2 * swapped * minus - turn * tipped * longitudinal,
            swapped * plus / turn**2 + kept * minus + tipped * longitudinal / turn,
            0.5 * tipped * (turn * minus - plus / turn) + np.cos(flip) * longitudinal,
        )

    def relaxed(self, e1: FloatArray, e2: FloatArray) -> PhaseGraph:
        """Return the states after relaxation by the factors exp(-t R1) and exp(-t R2)."""
        longitudinal = e1 * self.longitudinal
        longitudinal[0] += 1.0 - e1
        return PhaseGraph(e2 * self.plus, e2 * self.minus, longitudinal)

    def dephased(self) -> PhaseGraph:
        """Return the states one order further; the highest order is lost."""
        plus, minus = np.roll(self.plus, 1, axis=0), np.roll(self.minus, -1, axis=0)
        minus[-1] = 0.0
        plus[0] = minus[0].conj()
        return PhaseGraph(plus, minus, self.longitudinal)

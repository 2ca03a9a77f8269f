"""Relaxation of total variation at the edges of the solution.

Total variation lowers the contrast of small structures: a face on their surface costs as much as the step
across it is high. Faces at which the solution itself shows an edge are therefore excluded from the sum, and the
iteration continues. Two-step estimators with an L1 norm remove the same bias.

References: Meinshausen 2007, 10.1016/j.csda.2006.12.019; Candes et al. 2008, 10.1007/s00041-008-9045-x.
"""

from __future__ import annotations

from dataclasses import dataclass

from qsmengine.data import Array
from qsmengine.grid import Vector3
from qsmengine.ops.faces import without_steepest


@dataclass(frozen=True)
class EdgeRelaxation:
    """When and where total variation is relaxed.

    Parameters
    ----------
    region
        (nx, ny, nz) bool on the solver's grid: only faces with both voxels in it are relaxed.
    share
        Share of these faces, those with the largest differences of x per unit of length.
    iterations
        Numbers of completed iterations after which this happens.
    """

    region: Array
    share: float
    iterations: tuple[int, ...]

    def apply(self, x: Array, faces: Array, spacing: Vector3) -> None:
        """Remove the steepest faces of `x` from `faces` (see :mod:`qsmengine.ops.faces`), in place."""
        faces &= without_steepest(x, self.region, spacing, self.share)

"""Diffusion-weighted images, and which of their volumes are unweighted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data.checks import Array, check_shape
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.records import record

B0_THRESHOLD = 50.0
"""Largest b-value that counts as b = 0 [s/mm^2]."""
LARGEST_B_VALUE = 200_000.0
"""Larger b-values [s/mm^2] than those of any scanner are refused."""
SHELL_WIDTH = 0.2
"""Relative difference below which two b-values belong to one shell."""


@record
class DwiSeries:
    """Diffusion-weighted series.

    Parameters
    ----------
    signal
        (x, y, z, volume), any unit.
    b_values
        (volume,) [s/mm^2].
    b_vectors
        (volume, 3), unit or zero vectors in FSL's frame: along the array axes, with x negated where
        the affine's determinant is positive.
    grid
        Geometry.
    b0_threshold
        Largest b-value that counts as b = 0 [s/mm^2]; None: chosen by :func:`unweighted_volumes`.

    Raises
    ------
    InputError
        If the numbers of volumes, b-values and directions differ, and as :func:`check_b_values` does.
    """

    signal: Array
    b_values: FloatArray
    b_vectors: FloatArray
    grid: Grid
    b0_threshold: float | None = None

    def __post_init__(self) -> None:
        check_shape("signal", self.signal, self.grid, 4)
        counts = (self.signal.shape[3], len(self.b_values), len(self.b_vectors))
        if len(set(counts)) != 1:
            raise InputError(
                f"{counts[0]} volumes, {counts[1]} b-values, {counts[2]} gradient directions", field="bval/bvec"
            )
        check_b_values(self.b_values)

    def select(self, volumes: npt.NDArray[np.intp]) -> DwiSeries:
        """Return the series restricted to some volumes, given by index."""
        if len(volumes) == len(self.b_values):
            return self
        signal = self.signal.transpose(3, 2, 1, 0)[volumes].transpose(3, 2, 1, 0)
        return replace(self, signal=signal, b_values=self.b_values[volumes], b_vectors=self.b_vectors[volumes])

    @property
    def b0_volumes(self) -> npt.NDArray[np.bool_]:
        """(volume,) True where the volume counts as b = 0, see :func:`unweighted_volumes`."""
        return unweighted_volumes(self.b_values, self.b0_threshold)

    @property
    def array_axis_vectors(self) -> FloatArray:
        """(volume, 3) directions along the array axes (right-handed with the array, not FSL's frame)."""
        flip = np.array([-1.0 if self.grid.handedness > 0 else 1.0, 1.0, 1.0])
        return np.asarray(self.b_vectors * flip, dtype=np.float64)


def check_b_values(b_values: FloatArray, source: str | Path | None = None) -> None:
    """Raise InputError for b-values (volume,) that are not finite, are negative, or are not in s/mm^2."""
    b = np.asarray(b_values, dtype=np.float64)
    if not np.isfinite(b).all() or (b < 0).any():
        raise InputError("b-values must be finite and not negative", source=source, field="bval")
    if (b > LARGEST_B_VALUE).any():
        raise InputError(
            f"b-values up to {b.max():g} are not in s/mm^2; if they are in s/m^2, divide them by 1e6",
            source=source,
            field="bval",
        )


def unweighted_volumes(b_values: FloatArray, threshold: float | None = None) -> npt.NDArray[np.bool_]:
    """Return a mask (volume,) of the volumes that count as b = 0.

    With a threshold [s/mm^2] these are the volumes with b up to it. Without one they are the volumes with
    b <= 50 s/mm^2 or, if there are none, those of the lowest shell (the Human Connectome Project's 7 T series
    start at b = 56 to 65 s/mm^2). A table with a single shell above 50 s/mm^2 has none.
    """
    b = np.asarray(b_values, dtype=np.float64)
    if threshold is not None:
        return np.asarray(b <= threshold)
    if not b.size or b.min() <= B0_THRESHOLD:
        return np.asarray(b <= B0_THRESHOLD)
    lowest = b * (1.0 - SHELL_WIDTH) <= b.min()
    return np.asarray(lowest & ~lowest.all())

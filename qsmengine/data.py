"""Frozen containers that travel between steps: an array, its unit, its grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid

Array: TypeAlias = npt.NDArray[Any]
"""A NumPy or CuPy array; CuPy's arrays answer to the same interface."""

B0_THRESHOLD = 50.0
"""b-values up to this [s/mm^2] count as b = 0."""
SHELL_WIDTH = 0.2
"""b-values that differ by less than this part of the larger belong to one shell."""


def check_not_empty(mask: Array, source: Path | None = None) -> None:
    """Raise InputError, naming the file `source` if given, for a mask without a voxel."""
    if not bool((mask != 0).any()):
        raise InputError("the mask is empty", field="mask", source=source)


@dataclass(frozen=True)
class Map:
    """One quantitative image: `array` (x, y, z[, component]) in `unit` on `grid`."""

    array: Array
    unit: str
    grid: Grid

    def __post_init__(self) -> None:
        _check_shape("map", self.array, self.grid, self.array.ndim)


@dataclass(frozen=True)
class GreSeries:
    """A multi-echo gradient-echo series.

    Parameters
    ----------
    magnitude
        (x, y, z, echo), any unit, >= 0.
    phase
        (x, y, z, echo) [rad], wrapped; a paramagnetic source gives positive phase beside B0.
    echo_times
        (echo,) [s], ascending and distinct.
    grid
        Geometry with the field strength.
    unknown
        (x, y, z) bool, voxels without usable values, which masks leave out; None: every voxel is known.

    Raises
    ------
    InputError
        For arrays that do not fit each other, the grid or the echo times, and for echo times that
        are not ascending or larger than 1 s (milliseconds, then).
    """

    magnitude: Array
    phase: Array
    echo_times: tuple[float, ...]
    grid: Grid
    unknown: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "echo_times", check_echo_times(self.echo_times))
        for name in ("magnitude", "phase"):
            array = getattr(self, name)
            _check_shape(name, array, self.grid, 4)
            if array.shape[3] != len(self.echo_times):
                raise InputError(
                    f"{name} has {array.shape[3]} echoes, {len(self.echo_times)} echo times were given",
                    field="EchoTime",
                )
        if self.unknown is not None:
            _check_shape("unknown", self.unknown, self.grid, 3)

    @property
    def n_echoes(self) -> int:
        """Number of echoes."""
        return len(self.echo_times)


@dataclass(frozen=True)
class DwiSeries:
    """A diffusion-weighted series.

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
        Largest b-value that counts as b = 0 [s/mm^2]; None: as :func:`unweighted_volumes` decides.

    Raises
    ------
    InputError
        When the three counts of volumes differ.
    """

    signal: Array
    b_values: FloatArray
    b_vectors: FloatArray
    grid: Grid
    b0_threshold: float | None = None

    def __post_init__(self) -> None:
        _check_shape("signal", self.signal, self.grid, 4)
        counts = (self.signal.shape[3], len(self.b_values), len(self.b_vectors))
        if len(set(counts)) != 1:
            raise InputError(
                f"{counts[0]} volumes, {counts[1]} b-values, {counts[2]} gradient directions", field="bval/bvec"
            )

    def select(self, volumes: npt.NDArray[np.intp]) -> DwiSeries:
        """Return the series of some volumes, by their numbers."""
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


def unweighted_volumes(b_values: FloatArray, threshold: float | None = None) -> npt.NDArray[np.bool_]:
    """Return which volumes count as b = 0, (volume,) bool.

    With a threshold [s/mm^2] these are the volumes with b up to it. Without one they are the volumes with
    b <= 50 s/mm^2 or, where there are none, those of the lowest shell (the Human Connectome Project's 7 T
    series start at b = 56 to 65 s/mm^2). A table with a single shell above 50 s/mm^2 has none.
    """
    b = np.asarray(b_values, dtype=np.float64)
    if threshold is not None:
        return np.asarray(b <= threshold)
    if not b.size or b.min() <= B0_THRESHOLD:
        return np.asarray(b <= B0_THRESHOLD)
    lowest = b * (1.0 - SHELL_WIDTH) <= b.min()
    return np.asarray(lowest & ~lowest.all())


def check_echo_times(echo_times: tuple[float, ...]) -> tuple[float, ...]:
    """Echo times as a tuple of floats [s]; raises InputError unless positive, ascending, below 1 s."""
    times = tuple(float(t) for t in echo_times)
    if not times:
        raise InputError("no echo time", field="EchoTime")
    if not all(np.isfinite(times)) or min(times) <= 0:
        raise InputError(f"{times} are not positive numbers of seconds", field="EchoTime")
    if max(times) > 1.0:
        suggestion = " ".join(f"{t / 1000:g}" for t in times)
        raise InputError(
            f"{times} exceeds 1 s: echo times are in seconds; if these are milliseconds, give {suggestion}",
            field="EchoTime",
        )
    if any(b <= a for a, b in pairwise(times)):
        raise InputError(f"{times} are not ascending and distinct", field="EchoTime")
    return times


def _check_shape(name: str, array: Array, grid: Grid, ndim: int) -> None:
    if array.ndim != ndim or tuple(array.shape[:3]) != grid.shape:
        raise InputError(f"{name} has shape {tuple(array.shape)}, its grid has {grid.shape}", field="shape")

"""Immutable containers passed between steps: arrays with unit and grid."""

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
"""NumPy or CuPy array; both have the same interface."""

B0_THRESHOLD = 50.0
"""Largest b-value that counts as b = 0 [s/mm^2]."""
SHELL_WIDTH = 0.2
"""Relative difference below which two b-values belong to one shell."""


def check_not_empty(mask: Array, source: Path | None = None) -> None:
    """Raise InputError, naming the file `source` if given, for a mask without a voxel."""
    if not bool((mask != 0).any()):
        raise InputError("the mask is empty", field="mask", source=source)


@dataclass(frozen=True)
class Map:
    """Quantitative image: `array` (x, y, z[, component]) in `unit` on `grid`."""

    array: Array
    unit: str
    grid: Grid

    def __post_init__(self) -> None:
        _check_shape("map", self.array, self.grid, self.array.ndim)


@dataclass(frozen=True)
class GreSeries:
    """Multi-echo gradient-echo series.

    Parameters
    ----------
    magnitude
        (x, y, z, echo), any unit, >= 0.
    phase
        (x, y, z, echo) [rad], wrapped; positive where a paramagnetic source raises the field.
    echo_times
        (echo,) [s], ascending and distinct.
    grid
        Geometry with the field strength.
    unknown
        (x, y, z) bool, voxels without usable values, which masks exclude; None: every voxel is known.

    Raises
    ------
    InputError
        If arrays, grid and echo times are inconsistent, or if echo times are not ascending or exceed 1 s
        (probably milliseconds).
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
        If the numbers of volumes, b-values and directions differ.
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


@dataclass(frozen=True)
class VfaSeries:
    """Spoiled gradient echoes at several flip angles.

    Parameters
    ----------
    signal
        (x, y, z, volume), any unit, >= 0.
    flip_angles
        (volume,) nominal [deg].
    repetition_times, echo_times
        (volume,) [s].
    grid
        Geometry.

    Raises
    ------
    InputError
        If arrays, tables and grid are inconsistent.
    """

    signal: Array
    flip_angles: tuple[float, ...]
    repetition_times: tuple[float, ...]
    echo_times: tuple[float, ...]
    grid: Grid

    def __post_init__(self) -> None:
        _check_shape("signal", self.signal, self.grid, 4)
        for name in ("flip_angles", "repetition_times", "echo_times"):
            table = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, table)
            if len(table) != self.signal.shape[3]:
                raise InputError(
                    f"{len(table)} {name.replace('_', ' ')} for {self.signal.shape[3]} volumes", field=name
                )


@dataclass(frozen=True)
class MeseSeries:
    """Spin echoes of one excitation, refocused several times.

    Parameters
    ----------
    signal
        (x, y, z, echo), any unit, >= 0.
    echo_times
        (echo,) [s], ascending.
    grid
        Geometry.

    Raises
    ------
    InputError
        If array, times and grid are inconsistent.
    """

    signal: Array
    echo_times: tuple[float, ...]
    grid: Grid

    def __post_init__(self) -> None:
        _check_shape("signal", self.signal, self.grid, 4)
        object.__setattr__(self, "echo_times", check_echo_times(self.echo_times))
        if len(self.echo_times) != self.signal.shape[3]:
            raise InputError(
                f"{len(self.echo_times)} echo times for {self.signal.shape[3]} volumes", field="EchoTime"
            )


@dataclass(frozen=True)
class DscSeries:
    """Dynamic susceptibility-contrast series: images before, during and after a bolus of contrast agent.

    Parameters
    ----------
    signals
        One array (x, y, z, frame) per echo, any unit, >= 0.
    echo_times
        (echo,) [s], ascending and distinct.
    repetition_time
        Time between frames [s].
    grid
        Geometry.
    slice_times
        (z,) times of the slices after the beginning of their frame [s]; None: unknown or simultaneous.

    Raises
    ------
    InputError
        If arrays, grid and times are inconsistent, or if a time is not a plausible number of seconds.
    """

    signals: tuple[Array, ...]
    echo_times: tuple[float, ...]
    repetition_time: float
    grid: Grid
    slice_times: FloatArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "echo_times", check_echo_times(self.echo_times))
        object.__setattr__(self, "repetition_time", check_repetition_time(self.repetition_time))
        if len(self.signals) != len(self.echo_times):
            raise InputError(
                f"{len(self.signals)} echoes, {len(self.echo_times)} echo times were given", field="EchoTime"
            )
        for number, signal in enumerate(self.signals, start=1):
            _check_shape(f"echo {number}", signal, self.grid, 4)
            if signal.shape[3] != self.n_frames:
                raise InputError(
                    f"echo {number} has {signal.shape[3]} frames, echo 1 has {self.n_frames}", field="dim[4]"
                )
        if self.slice_times is not None and np.shape(self.slice_times) != (self.grid.shape[2],):
            raise InputError(
                f"{np.size(self.slice_times)} times for {self.grid.shape[2]} slices", field="SliceTiming"
            )

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.signals[0].shape[3])

    @property
    def times(self) -> FloatArray:
        """(frame,) beginning of each frame [s]."""
        return np.arange(self.n_frames, dtype=np.float64) * self.repetition_time


LONGEST_REPETITION_TIME = 10.0
"""Longest plausible time between the frames of a bolus series [s]; a bolus lasts about as long."""
SHORTEST_REPETITION_TIME = 0.05
"""Shortest plausible time between the frames of a bolus series [s]."""


def check_repetition_time(seconds: float) -> float:
    """Return the time between frames as a float [s]; raises InputError unless it is plausible."""
    time = float(seconds)
    if not SHORTEST_REPETITION_TIME <= time <= LONGEST_REPETITION_TIME:
        low, high = SHORTEST_REPETITION_TIME, LONGEST_REPETITION_TIME
        hint = f"; if it is in milliseconds, use {time / 1e3:g}" if low <= time / 1e3 <= high else ""
        raise InputError(
            f"{time:g} s is not between {low:g} and {high:g} s: not the time between frames{hint}",
            field="RepetitionTime",
        )
    return time


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


SHORTEST_ECHO_TIME = 2e-5
"""Shorter echo times [s] than those of ultra-short sequences are taken for another unit in advice."""

LEAST_LONGEST = 1e-4
"""Least value of the longest echo time [s]; below it the field hardly changes the phase."""


def check_echo_times(echo_times: tuple[float, ...]) -> tuple[float, ...]:
    """Return echo times as floats [s]; raises InputError unless positive, ascending, of plausible length."""
    times = tuple(float(t) for t in echo_times)
    if not times:
        raise InputError("no echo time", field="EchoTime")
    if not all(np.isfinite(times)) or min(times) <= 0:
        raise InputError(f"{times} are not positive numbers of seconds", field="EchoTime")
    if max(times) > 1.0:
        raise InputError(
            f"{times} exceeds 1 s: echo times are in seconds{_in_seconds(times)}", field="EchoTime"
        )
    if max(times) < LEAST_LONGEST:
        raise InputError(
            f"{times} are below {LEAST_LONGEST:g} s, too short for a phase to form: echo times are in seconds",
            field="EchoTime",
        )
    if any(b <= a for a, b in pairwise(times)):
        raise InputError(f"{times} are not ascending and distinct", field="EchoTime")
    return times


def _in_seconds(times: tuple[float, ...]) -> str:
    """Suggest the seconds that times in smaller units are; nothing if no unit makes all of them plausible."""
    for unit, factor in (("milliseconds", 1e3), ("microseconds", 1e6)):
        if min(times) / factor >= SHORTEST_ECHO_TIME and max(times) / factor <= 1.0:
            return f"; if these are {unit}, use {' '.join(f'{t / factor:g}' for t in times)}"
    return ""


def _check_shape(name: str, array: Array, grid: Grid, ndim: int) -> None:
    if array.ndim != ndim or tuple(array.shape[:3]) != grid.shape:
        raise InputError(f"{name} has shape {tuple(array.shape)}, its grid has {grid.shape}", field="shape")

"""Images during the passage of a contrast agent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsmengine.data.checks import Array, check_echo_times, check_shape
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid


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
            check_shape(f"echo {number}", signal, self.grid, 4)
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

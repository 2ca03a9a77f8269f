"""Spoiled gradient echoes at several flip angles."""

from __future__ import annotations

from qsmengine.data.checks import Array, check_shape
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.records import record


@record
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
        check_shape("signal", self.signal, self.grid, 4)
        for name in ("flip_angles", "repetition_times", "echo_times"):
            table = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, table)
            if len(table) != self.signal.shape[3]:
                raise InputError(
                    f"{len(table)} {name.replace('_', ' ')} for {self.signal.shape[3]} volumes", field=name
                )

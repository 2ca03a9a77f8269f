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
    part
        Part of the grid that `signal` covers; None: all of it.

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
    part: tuple[slice, ...] | None = None

    def __post_init__(self) -> None:
        covered = self.grid if self.part is None else self.grid.part(self.part)
        check_shape("signal", self.signal, covered, 4)
        for name in ("flip_angles", "repetition_times", "echo_times"):
            table = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, table)
            if len(table) != self.signal.shape[3]:
                raise InputError(
                    f"{len(table)} {name.replace('_', ' ')} for {self.signal.shape[3]} volumes", field=name
                )

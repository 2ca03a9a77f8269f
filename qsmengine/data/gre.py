"""Multi-echo gradient echoes."""

from __future__ import annotations

from qsmengine.data.checks import Array, check_echo_times, check_shape
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.records import record


@record
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
            check_shape(name, array, self.grid, 4)
            if array.shape[3] != len(self.echo_times):
                raise InputError(
                    f"{name} has {array.shape[3]} echoes, {len(self.echo_times)} echo times were given",
                    field="EchoTime",
                )
        if self.unknown is not None:
            check_shape("unknown", self.unknown, self.grid, 3)

    @property
    def n_echoes(self) -> int:
        """Number of echoes."""
        return len(self.echo_times)

"""Several spin echoes of one excitation."""

from __future__ import annotations

from dataclasses import dataclass

from qsmengine.data.checks import Array, check_echo_times, check_shape
from qsmengine.errors import InputError
from qsmengine.grid import Grid


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
        check_shape("signal", self.signal, self.grid, 4)
        object.__setattr__(self, "echo_times", check_echo_times(self.echo_times))
        if len(self.echo_times) != self.signal.shape[3]:
            raise InputError(
                f"{len(self.echo_times)} echo times for {self.signal.shape[3]} volumes", field="EchoTime"
            )

"""Balanced steady-state free precession."""

from __future__ import annotations

from qsmengine.data.checks import Array
from qsmengine.errors import InputError
from qsmengine.records import record


@record
class BalancedSeries:
    """Balanced steady states, and the field for their analysis.

    Parameters
    ----------
    signal
        (x, y, z, volume) magnitude, any unit.
    flip_angles, increments
        (volume,) nominal flip angles and phase increments of the pulses [deg].
    repetition_times, echo_times
        (volume,) [s].
    phase
        (x, y, z, volume) [rad]; None: magnitudes alone.
    field
        (x, y, z) off-resonance [ppm]; None for complex images at four or more increments.

    Raises
    ------
    InputError
        If arrays and tables are inconsistent.
    """

    signal: Array
    flip_angles: tuple[float, ...]
    increments: tuple[float, ...]
    repetition_times: tuple[float, ...]
    echo_times: tuple[float, ...]
    phase: Array | None = None
    field: Array | None = None

    def __post_init__(self) -> None:
        volumes, shape = self.signal.shape[-1], tuple(self.signal.shape)
        for name in ("flip_angles", "increments", "repetition_times", "echo_times"):
            if len(getattr(self, name)) != volumes:
                raise InputError(
                    f"{len(getattr(self, name))} {name.replace('_', ' ')} for {volumes} volumes", field=name
                )
        for name, part, wanted in (("phase", self.phase, shape), ("field", self.field, shape[:3])):
            if part is not None and tuple(part.shape) != wanted:
                raise InputError(f"{name} has shape {tuple(part.shape)}, the signal {shape}", field="shape")

"""Balanced steady-state free precession."""

from __future__ import annotations

from dataclasses import dataclass

from qsmengine.data.checks import Array


@dataclass(frozen=True)
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
    """

    signal: Array
    flip_angles: tuple[float, ...]
    increments: tuple[float, ...]
    repetition_times: tuple[float, ...]
    echo_times: tuple[float, ...]
    phase: Array | None = None
    field: Array | None = None

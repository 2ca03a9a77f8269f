"""Physical constants and unit conversions of the engine.

Within the engine, fields and susceptibilities are in parts per million of B0 [ppm]; files state their unit in
the sidecar. `GAMMA_HZ_PER_T` is the gyromagnetic ratio of the proton divided by 2 pi.
"""

from __future__ import annotations

import math

GAMMA_HZ_PER_T = 42.576e6
"""Proton gyromagnetic ratio / 2 pi [Hz/T]."""

TWO_PI = 2.0 * math.pi


def ppm_per_hz(field_strength: float) -> float:
    """Return the factor from [Hz] to [ppm] at `field_strength` [T]: 1e6 / (gamma B0)."""
    return 1e6 / (GAMMA_HZ_PER_T * field_strength)


def hz_per_ppm(field_strength: float) -> float:
    """Return the factor from [ppm] to [Hz] at `field_strength` [T]: gamma B0 / 1e6."""
    return GAMMA_HZ_PER_T * field_strength * 1e-6


def rad_per_ppm(field_strength: float, echo_time: float) -> float:
    """Return the phase [rad] of 1 ppm at `echo_time` [s] and `field_strength` [T]: 2 pi gamma B0 TE / 1e6."""
    return TWO_PI * hz_per_ppm(field_strength) * echo_time


def ppm_per_rad(field_strength: float, echo_time: float) -> float:
    """Return the inverse of :func:`rad_per_ppm`."""
    return 1.0 / rad_per_ppm(field_strength, echo_time)

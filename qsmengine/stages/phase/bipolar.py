"""Bipolar readout: phase difference between even and odd echoes.

When the readout gradient alternates, delays and eddy currents shift the echoes of the two polarities in
opposite directions. This adds a phase d, linear in space and mostly along the readout, to every second echo.
For three echoes with the spacings t12 and t23

    2 d = 2 (t23 (phase_2 - phase_1) - t12 (phase_3 - phase_2)) / (t12 + t23)

contains neither field nor offset; for equal spacings it is -(phase_1 + phase_3 - 2 phase_2) and needs no
unwrapping. The slopes of d are estimated from the mean step of exp(2 i d) between neighbours, its constant from
the mean of the remainder; both are refined by least squares.

The constant of d is determined up to pi, equivalent to a field of 1 / (2 t12) [Hz]; the value within pi / 2
of 0 is used.

References: Eckstein et al. 2018, 10.1002/mrm.26963 (from the echoes themselves); 10.1007/s10334-014-0470-3
(linear along the readout).
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.phase import HERMITIAN_PRODUCT, SUBTRACT_OFFSET
from qsmengine.data import Array
from qsmengine.errors import UsageError
from qsmengine.grid import FloatArray
from qsmengine.stages.phase.growth import edge_costs, unwrap_spatially

_EQUAL = 1e-3
"""Relative difference up to which two spacings count as equal."""


def without_polarity(
    wrapped: Array, weights: Array, inside: Array, times: tuple[float, ...], device: Device
) -> Array:
    """Return the phase (echo, x, y, z) [rad] without the even echoes' linear phase; 0 outside the mask.

    Parameters
    ----------
    wrapped, weights
        Phase [rad] and magnitude (echo, x, y, z); the magnitudes of the first three echoes are used.
    inside
        uint8 (x, y, z).
    times
        Echo times [s].
    device
        Device of these arrays.

    Raises
    ------
    UsageError
        For fewer than three echoes.
    """
    if len(times) < 3:
        raise UsageError(f"bipolar correction needs three echoes or more, there are {len(times)}")
    constant, slopes = polarity_phase(wrapped, weights, inside, times, device)
    x, y, z = (
        device.asarray(slope * np.arange(n), np.float64) for slope, n in zip(slopes, inside.shape, strict=True)
    )
    phase = device.asarray(constant + x[:, None, None] + y[:, None] + z)
    re, im = device.xp.cos(phase), device.xp.sin(phase)
    corrected = device.empty(tuple(wrapped.shape))
    for echo, after in enumerate(corrected):
        even = echo % 2 == 1
        launch(
            SUBTRACT_OFFSET, device, phase=wrapped[echo].reshape(-1), mask=inside.reshape(-1),
            re=(re if even else device.xp.ones_like(re)).reshape(-1),
            im=(im if even else device.xp.zeros_like(im)).reshape(-1), corrected=after.reshape(-1),
        )  # fmt: skip
    return corrected


def polarity_phase(
    wrapped: Array, weights: Array, inside: Array, times: tuple[float, ...], device: Device
) -> tuple[float, FloatArray]:
    """Return the constant [rad] at voxel (0, 0, 0) and slopes [rad/voxel] of the even echoes' phase."""
    first, second = times[1] - times[0], times[2] - times[1]
    equal = abs(second - first) <= _EQUAL * (first + second)
    angles = []
    for echo in (0, 1):
        angle, magnitude = _product(wrapped, weights, inside, echo, device)
        if not equal:
            angle = unwrap_spatially(angle, edge_costs(angle, magnitude, inside, device), inside, device)
        angles.append(angle)
    twice = np.float32(2 * second / (first + second)) * angles[0]
    twice -= np.float32(2 * first / (first + second)) * angles[1]
    weight = magnitude / np.float32(max(float(magnitude.max()), 1e-30))
    phasor = weight * device.xp.exp(np.complex64(1j) * twice)
    return _linear_phase(phasor, device)


def _product(wrapped: Array, weights: Array, inside: Array, echo: int, device: Device) -> tuple[Array, Array]:
    """Return the phase step between two echoes, and the root of the product of their magnitudes; 0 outside."""
    angle, magnitude = device.empty(tuple(inside.shape)), device.empty(tuple(inside.shape))
    launch(
        HERMITIAN_PRODUCT, device, phase1=wrapped[echo].reshape(-1), phase2=wrapped[echo + 1].reshape(-1),
        magnitude1=weights[echo].reshape(-1), magnitude2=weights[echo + 1].reshape(-1),
        mask=inside.reshape(-1), angle=angle.reshape(-1), magnitude=magnitude.reshape(-1),
    )  # fmt: skip
    return angle, magnitude


def _linear_phase(phasor: Array, device: Device) -> tuple[float, FloatArray]:
    """Return half the linear phase of a complex image (x, y, z): constant at the first voxel, slopes."""
    xp = device.xp
    slopes = np.array([_mean_step(phasor.swapaxes(0, axis)) for axis in range(3)])
    axes = [device.asarray(np.arange(n), np.float64) for n in phasor.shape]
    for slope, axis, shape in zip(slopes, axes, ((-1, 1, 1), (-1, 1), (-1,)), strict=True):
        phasor = phasor * xp.exp(-1j * slope * axis).astype(np.complex64).reshape(shape)
    total = complex(phasor.sum(dtype=np.complex128))
    constant = math.atan2(total.imag, total.real)
    rest = xp.angle(phasor * np.complex64(np.exp(-1j * constant)))
    correction = _weighted_plane(xp.abs(phasor), rest, axes)
    return (constant + float(correction[0])) / 2, (slopes + correction[1:]) / 2


def _mean_step(phasor: Array) -> float:
    total = complex((phasor[1:] * phasor[:-1].conj()).sum(dtype=np.complex128)) if len(phasor) > 1 else 0j
    return math.atan2(total.imag, total.real)


def _weighted_plane(weight: Array, values: Array, axes: list[Array]) -> FloatArray:
    """Return constant and slopes of the plane that best fits `values`; the slope of a one-voxel axis is 0."""
    shapes = ((-1, 1, 1), (-1, 1), (-1,))
    basis = [1.0, *(axis.reshape(shape) for axis, shape in zip(axes, shapes, strict=True))]
    normal, right = np.empty((4, 4)), np.empty(4)
    for i, a in enumerate(basis):
        weighted = weight * a
        right[i] = float((weighted * values).sum(dtype=np.float64))
        for j, b in enumerate(basis[: i + 1]):
            normal[i, j] = normal[j, i] = float((weighted * b).sum(dtype=np.float64))
    return np.asarray(np.linalg.lstsq(normal, right, rcond=1e-10)[0])

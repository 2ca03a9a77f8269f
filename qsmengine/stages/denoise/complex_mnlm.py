"""Multicomponent non-local means of complex gradient-echo data.

Real and imaginary parts of all echoes are components that share one set of weights (see mnlm.py). A varying
phase makes their patches differ, so the smooth phase of each echo is removed first and restored afterwards:

    s_e = m_e exp(i phase_e),   b_e = G * s_e,   components: Re, Im of s_e exp(-i arg b_e)

G is a sequence of three box filters, nearly a Gaussian. Rotation by a known angle keeps the noise Gaussian and
equal in both parts and is undone exactly, so it causes no bias. The magnitude is that of the mean complex
signal and needs no Rician correction.

References: Borrelli et al. 2015, 10.1371/journal.pone.0126835.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.windows import box_sum
from qsmengine.stages.denoise.mnlm import Lmmse, MnlmParams, mnlm
from qsmengine.stages.denoise.noise import estimate_sigma, estimate_sigma_map, quietest
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field


class ComplexMnlmParams(MnlmParams):
    """Parameters of the filter of complex data; `sigma` is that of a real or imaginary part."""

    lmmse: Lmmse = True
    smooth_radius: int = Field(3, ge=1, le=20, description="radius of the boxes that smooth the phase [voxels]")
    joint: bool = Field(
        True, description="one set of weights for all parts; false: separate weights for each part"
    )


Params = TypeVar("Params", bound=ComplexMnlmParams)


class DenoisedSeries(NamedTuple):
    """Filtered gradient-echo series, 0 outside the mask."""

    magnitude: Array
    phase: Array


def complex_mnlm(
    magnitude: Array,
    phase: Array,
    grid: Grid,
    params: ComplexMnlmParams,
    *,
    device: Device,
    mask: Array | None = None,
    sigma: Array | None = None,
) -> DenoisedSeries:
    """Return filtered magnitude and phase [rad], (x, y, z, echo).

    Parameters
    ----------
    magnitude, phase
        (x, y, z, echo); phase [rad].
    mask
        (x, y, z): voxels to filter; the others become 0. None: the whole image.
    sigma
        Noise (x, y, z) of the real and imaginary parts in the magnitude's unit; replaces `params.sigma`.

    Raises
    ------
    InputError
        As :func:`qsmengine.stages.denoise.mnlm.mnlm`.
    """
    xp = device.xp
    inside = xp.ones(grid.shape, bool) if mask is None else device.asarray(mask, bool)
    echoes = magnitude.shape[3]
    parts, smooth = turned_parts(magnitude, phase, inside, params, device)
    params, sigma = with_noise(params, parts, inside, device, sigma)
    if isinstance(params.sigma, tuple):
        params = params.model_copy(update={"sigma": tuple(value for value in params.sigma for _ in range(2))})
    filtered = (mnlm if params.joint else _each_part)(parts, inside, grid, params, device=device, sigma=sigma)
    series = DenoisedSeries(device.empty((*inside.shape, echoes)), device.empty((*inside.shape, echoes)))
    for e in range(echoes):
        signal = (filtered[..., 2 * e] + 1j * filtered[..., 2 * e + 1]) * smooth[e]
        series.magnitude[..., e] = abs(signal)
        series.phase[..., e] = xp.where(inside, xp.arctan2(signal.imag, signal.real), np.float32(0))
    return series


def turned_parts(
    magnitude: Array, phase: Array, inside: Array, params: ComplexMnlmParams, device: Device
) -> tuple[Array, Array]:
    """Return the parts (x, y, z, 2 echo) without the smooth phase b, and exp(i b) (echo, x, y, z)."""
    xp, echoes = device.xp, magnitude.shape[3]
    parts = device.empty((*inside.shape, 2 * echoes))
    smooth = device.empty((echoes, *inside.shape), np.complex64)
    for e in range(echoes):
        size = xp.where(inside, device.asarray(magnitude[..., e]), np.float32(0))
        angle = xp.where(inside, device.asarray(phase[..., e]), np.float32(0))
        signal = size * xp.exp(1j * angle).astype(np.complex64)
        smooth[e] = _smooth_turn(signal, params.smooth_radius)
        turned = signal * smooth[e].conj()
        parts[..., 2 * e], parts[..., 2 * e + 1] = turned.real, turned.imag
    return parts, smooth


def _each_part(
    parts: Array, mask: Array, grid: Grid, params: ComplexMnlmParams, *, device: Device, sigma: Array | None
) -> Array:
    """Apply :func:`mnlm` with separate weights for each part."""
    filtered = device.empty(parts.shape)
    given = params.sigma
    for c in range(parts.shape[3]):
        own = params.model_copy(update={"sigma": given[c] if isinstance(given, tuple) else given})
        filtered[..., c] = mnlm(parts[..., c : c + 1], mask, grid, own, device=device, sigma=sigma)[..., 0]
    return filtered


def _smooth_turn(signal: Array, radius: int) -> Array:
    """Return exp(i arg(G * signal)); 1 where the mean signal is 0."""
    real, imag = signal.real, signal.imag
    for _ in range(3):
        real, imag = box_sum(real, radius), box_sum(imag, radius)
    size = np.hypot(real, imag)
    zero = size == 0
    size[zero] = 1.0
    real[zero] = 1.0
    turn: Array = ((real + 1j * imag) / size).astype(np.complex64)
    return turn


def with_noise(
    params: Params, parts: Array, inside: Array, device: Device, sigma: Array | None
) -> tuple[Params, Array | None]:
    """Return parameters and map, one of which holds the noise of the parts: as given, or estimated."""
    if sigma is not None or params.sigma is not None:
        return params, sigma
    quiet = quietest(parts, inside, device=device)
    if params.noise == "local":
        return params, estimate_sigma_map(quiet, inside, device=device)[..., 0]
    found = estimate_sigma(quiet, inside, device=device)[0]
    return params.model_copy(update={"sigma": found}), None


METHODS = (
    Method(
        stage="denoise", name="complex-mnlm", run=complex_mnlm, params=ComplexMnlmParams,
        inputs=("magnitude", "phase", "mask?", "sigma?"), outputs={"magnitude": "arbitrary", "phase": "rad"},
        summary="joint non-local means of real and imaginary parts of all echoes",
        doi="10.1371/journal.pone.0126835", bytes_per_voxel=140, bytes_per_volume=100,
    ),
)  # fmt: skip

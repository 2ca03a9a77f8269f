"""MCPC-3D-S: removal of the phase at echo time 0 (receive coil, reconstruction).

The Hermitian product of the first two echoes has the angle d = phase_2 - phase_1, which contains no offset:

    offset = phase_1 - TE_1 / (TE_2 - TE_1) unwrap(d).

The offset is smoothed as the complex number exp(i offset) with a Gaussian inside the mask and subtracted
from every echo. The remaining phase is linear in time and 0 at time 0, as required for unwrapping along the
echoes. At the edge of the mask a Gaussian biases a sloping offset towards inner values; smoothing the residual
and subtracting it as well (`passes`, Tukey's twicing) removes this bias.

Assumes one channel (or combined channels), monopolar echoes (or `bipolar`, see that module) and an offset that
is smooth on the scale of the Gaussian. The unwrapped d, hence the field, is known up to a multiple of
1 / (TE_2 - TE_1) [Hz] for each connected component of the mask; the median of d is assumed to lie within half
of that. A single echo does not determine the offset and is returned unchanged.

References: Robinson et al. 2017, 10.1002/mrm.25975 (ASPIRE); Eckstein et al. 2018, 10.1002/mrm.26963.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.phase import HERMITIAN_PRODUCT, OFFSET_PHASOR, SUBTRACT_OFFSET
from qsmengine.data import Array
from qsmengine.grid import Grid, Vector3
from qsmengine.ops.domain import Domain, whole_voxels
from qsmengine.stages.echoes import check_series, checked_mask, echo_first, echo_last
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.stages.phase.bipolar import without_polarity
from qsmengine.stages.phase.growth import edge_costs, unwrap_spatially

_REACH = 3.0
"""Standard deviations at which the Gaussian is truncated."""


class Mcpc3dsParams(Params):
    """Parameters of MCPC-3D-S."""

    sigma: tuple[float, float, float] = Field(
        (10.0, 10.0, 5.0), description="standard deviations of the Gaussian along x, y, z, in `unit`; 0: none"
    )
    unit: Literal["voxel", "mm"] = Field("voxel", description="unit of sigma")
    passes: int = Field(
        4, ge=1, le=20, description="smoothings: the first of the offset, the others of its residual"
    )
    bipolar: bool = Field(
        False,
        description="alternating readout: first remove the linear phase of even echoes (needs three)",
    )

    def length_power(self, name: str) -> int:
        """Return 1 for `sigma` in mm."""
        return int(name == "sigma" and self.unit == "mm")


def mcpc3ds(
    phase: Array,
    magnitude: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: Mcpc3dsParams,
    *,
    device: Device,
) -> Array:
    """Remove the phase at echo time 0 from every echo.

    Parameters
    ----------
    phase
        (x, y, z, echo) [rad], wrapped.
    magnitude
        (x, y, z, echo), any unit.
    mask
        (x, y, z).
    echo_times
        (echo,) [s].
    grid
        Geometry.
    params
        Parameters.
    device
        Where to compute.

    Returns
    -------
    Array
        (x, y, z, echo) [rad], wrapped to -pi .. pi, 0 outside the mask (a view of echo-first memory); a
        single echo is unchanged.

    Raises
    ------
    InputError
        For shapes or echo times that do not match, or an empty mask.
    UsageError
        For fewer than three bipolar echoes.
    """
    times = check_series(grid, echo_times, phase=phase, magnitude=magnitude)
    if len(times) == 1 and not params.bipolar:
        return device.asarray(phase)
    wrapped = echo_first(phase, device)
    weights = echo_first(magnitude[..., : 3 if params.bipolar else 2], device)
    inside = checked_mask(mask, grid, device)
    if params.bipolar:
        wrapped = without_polarity(wrapped, weights, inside, times, device)
    difference = _unwrapped_difference(wrapped, weights, inside, device)
    sigma = params.sigma if params.unit == "voxel" else _in_voxels(params.sigma, grid)
    ratio = times[0] / (times[1] - times[0])
    smoothing = _Smoothing(inside, sigma, device)
    first, buffers = wrapped[0], [device.empty(tuple(inside.shape)) for _ in range(2)]
    for number in range(params.passes):
        offset = smoothing.apply(*_phasor(first, difference, inside, ratio, device))
        before, first = first, buffers[number % 2]
        _subtract(before, offset, inside, first, device)
    del smoothing, difference, offset, before, buffers
    corrected = device.empty(tuple(wrapped.shape))
    corrected[0] = first
    whole = _phasor(wrapped[0], first, inside, 1.0, device)
    for before, after in zip(wrapped[1:], corrected[1:], strict=True):
        _subtract(before, whole, inside, after, device)
    return echo_last(corrected)


def _subtract(phase: Array, offset: tuple[Array, Array], inside: Array, out: Array, device: Device) -> None:
    """Write `phase` minus the angle of a phasor to `out`, wrapped, 0 outside the mask."""
    re, im = offset
    launch(
        SUBTRACT_OFFSET,
        device,
        phase=phase.reshape(-1),
        re=re.reshape(-1),
        im=im.reshape(-1),
        mask=inside.reshape(-1),
        corrected=out.reshape(-1),
    )


def _unwrapped_difference(wrapped: Array, weights: Array, inside: Array, device: Device) -> Array:
    angle, magnitude = device.empty(tuple(inside.shape)), device.empty(tuple(inside.shape))
    launch(
        HERMITIAN_PRODUCT,
        device,
        phase1=wrapped[0].reshape(-1),
        phase2=wrapped[1].reshape(-1),
        magnitude1=weights[0].reshape(-1),
        magnitude2=weights[1].reshape(-1),
        mask=inside.reshape(-1),
        angle=angle.reshape(-1),
        magnitude=magnitude.reshape(-1),
    )
    cost = edge_costs(angle, magnitude, inside, device)
    return unwrap_spatially(angle, cost, inside, device)


def _phasor(
    phase: Array, difference: Array, inside: Array, ratio: float, device: Device
) -> tuple[Array, Array]:
    re, im = device.empty(tuple(inside.shape)), device.empty(tuple(inside.shape))
    launch(
        OFFSET_PHASOR,
        device,
        phase1=phase.reshape(-1),
        difference=difference.reshape(-1),
        mask=inside.reshape(-1),
        re=re.reshape(-1),
        im=im.reshape(-1),
        ratio=ratio,
    )
    return re, im


class _Smoothing:
    """Convolve both parts with a Gaussian; dividing by the smoothed mask would not change the angle."""

    def __init__(self, inside: Array, sigma: Vector3, device: Device) -> None:
        self._none = max(sigma) == 0
        self._domain = Domain.around(inside > 0, whole_voxels(_REACH * max(sigma)), device)
        self._fft = RealFFT(self._domain.shape, device)
        self._response = _gaussian(self._domain.shape, sigma, device)

    def apply(self, re: Array, im: Array) -> tuple[Array, Array]:
        return (re, im) if self._none else (self._part(re), self._part(im))

    def _part(self, part: Array) -> Array:
        return self._domain.extract(self._fft.filter(self._domain.insert(part), self._response))


def _gaussian(shape: tuple[int, int, int], sigma: Vector3, device: Device) -> Array:
    """Return the half spectrum exp(-2 pi^2 sum (sigma f)^2) with f [cycles/voxel]."""
    frequencies = (np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2]))
    x, y, z = (
        device.asarray(np.exp(-2.0 * (math.pi * s * f) ** 2)) for s, f in zip(sigma, frequencies, strict=True)
    )
    response: Array = x[:, None, None] * y[:, None] * z
    return response


def _in_voxels(sigma: Vector3, grid: Grid) -> Vector3:
    x, y, z = (s / h for s, h in zip(sigma, grid.voxel_size, strict=True))
    return x, y, z


METHODS = (
    Method(
        stage="phase-offset", name="mcpc3ds", run=mcpc3ds, params=Mcpc3dsParams,
        inputs=("phase", "magnitude", "mask", "echo_times"), outputs={"phase": "rad"},
        summary="offset at echo time 0 from the first two echoes, smoothed", doi="10.1002/mrm.26963",
        bytes_per_voxel=80, bytes_per_volume=8, within_mask=True,
    ),
)  # fmt: skip

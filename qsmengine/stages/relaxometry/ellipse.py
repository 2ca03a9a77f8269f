"""R2 from complex images of balanced steady-state free precession at evenly spaced phase increments.

With the precession theta_k = increment k + 2 pi TR df, the images of a voxel are on an ellipse,

    I_k (1 - b cos(theta_k)) = M (1 - E2 exp(i theta_k)),    E2 = exp(-TR R2),

which is linear in M, M E2 exp(i theta_0) and beta = b exp(i theta_0) (PLANET solved without an ellipse fit; for
four increments M is the geometric solution). It needs neither field, R1, nor B1 and has no bands, but more
signal than a fit with a known field.

The standard deviation follows from the noise to first order: R2 is linear in the harmonics of the noise of
I_k (1 - b cos(theta_k)), including their effect on beta. The noise, the standard deviation of the real part, is
given or estimated from those harmonics that would be 0 without noise. Voxels without signal and those outside
the mask are 0.

References: Xiang & Hoff 2014, 10.1002/mrm.25098 (geometric solution); Shcherbakova et al. 2018,
10.1002/mrm.26717 (PLANET).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stages.echoes import checked_mask
from qsmengine.stages.method import Method
from qsmengine.stages.noise import noise_of_residuals
from qsmengine.stages.params import Field, Params

FEWEST_INCREMENTS, EVEN = 4, 0.5
"""Fewest increments, and their largest deviation from even ones [deg]."""
SAME = 1.001
"""Largest ratio of values that count as the same."""
HARMONICS = range(-2, 4)
"""Harmonics of the images over the increment."""
TINY = 1e-30
"""Least signal that is scaled to 1."""
EMPTY = (2, -1)
"""Harmonics in which I_k (1 - b cos(theta_k)) is 0."""
FREEDOM = 2
"""Degrees of freedom that these harmonics leave: four real numbers for the two of beta."""


class EllipseParams(Params):
    """Parameters of the ellipse."""

    noise: float | None = Field(
        None, gt=0, description="noise of the real part [unit of the signal]; none: from the images"
    )
    t2_min: float = Field(0.004, gt=0, description="lower bound of T2 [s]")
    t2_max: float = Field(2.5, gt=0, description="upper bound of T2 [s]")


class EllipseResult(NamedTuple):
    """Maps of an ellipse, each (x, y, z).

    R2 and its standard deviation [1/s], the precession per repetition without increment [rad], and abs(M).
    """

    balanced_r2: Array
    balanced_r2_sd: Array
    balanced_precession: Array
    balanced_unbanded: Array


def ellipse(
    cycled: Array,
    cycled_phase: Array,
    mask: Array,
    cycled_increments: tuple[float, ...],
    cycled_times: tuple[float, ...],
    grid: Grid,
    params: EllipseParams,
    *,
    device: Device,
) -> EllipseResult:
    """Return R2 from complex images at evenly spaced phase increments.

    Parameters
    ----------
    cycled, cycled_phase
        (x, y, z, volume) magnitude, any unit, and phase [rad].
    mask
        (x, y, z).
    cycled_increments, cycled_times
        (volume,) phase increments [deg] and repetition times [s].
    grid, params, device
        Geometry, parameters and compute device.

    Raises
    ------
    InputError
        For increments that are fewer than four or not evenly spaced over the circle, unlike repetition times,
        and an empty mask.
    """
    xp = device.xp
    check_even(cycled_increments)
    check_equal(cycled_times, "repetition times")
    count = len(cycled_increments)
    if tuple(cycled.shape) != (*grid.shape, count) or tuple(cycled_phase.shape) != (*grid.shape, count):
        raise InputError(
            f"images of shape {tuple(cycled.shape)} and phases of {tuple(cycled_phase.shape)}; grid and "
            f"increments need {(*grid.shape, count)}",
            field="shape",
        )
    inside = checked_mask(mask, grid, device) > 0
    tr, first = cycled_times[0], device.asarray(cycled[..., 0])
    scale = np.float32(1.0 / max(float(xp.where(inside, first, np.float32(0)).max()), TINY))
    harmonic = _harmonics(cycled, cycled_phase, cycled_increments, scale, device)
    found = _Ellipse.of(harmonic, xp)
    seen = inside.copy()
    for part in (abs(found.centre), abs(found.edge)):
        seen &= (part > 0) & xp.isfinite(part)
    e2 = xp.where(seen, found.edge / xp.where(seen, found.centre, np.complex64(1)), np.complex64(0.5))
    size = abs(e2).clip(np.exp(-tr / params.t2_min), np.exp(-tr / params.t2_max))
    spread = found.log_deviation(harmonic, cycled_increments, seen, xp)
    seen &= xp.isfinite(spread)
    if params.noise is not None:
        noise = params.noise * float(scale)
    else:
        misfit = found.misfit(harmonic, cycled_increments, xp)[seen]
        noise = noise_of_residuals(misfit, FREEDOM) if misfit.size else 0.0
    spread *= np.float32(noise / tr)
    maps = (xp.log(size) * np.float32(-1 / tr), spread, xp.angle(e2), abs(found.centre) / scale)
    return EllipseResult(*(xp.where(seen, image, np.float32(0)).astype(np.float32) for image in maps))


def _harmonics(
    cycled: Array, phase: Array, increments: Sequence[float], scale: np.float32, device: Device
) -> dict[int, Array]:
    """Return the harmonics (x, y, z) of the scaled images over the increment."""
    xp = device.xp
    found = {h: xp.zeros(tuple(cycled.shape[:3]), np.complex64) for h in HARMONICS}
    for k, increment in enumerate(increments):
        image = scale * device.asarray(cycled[..., k]) * xp.exp(1j * device.asarray(phase[..., k]))
        for h in HARMONICS:
            found[h] += image * np.complex64(np.exp(-1j * h * np.radians(increment)) / len(increments))
    return found


def check_even(increments: Sequence[float]) -> None:
    """Raise InputError unless increments [deg] divide the circle evenly, into four parts or more."""
    spacing = 360.0 / len(increments)
    places = np.sort(np.mod(np.asarray(increments) - increments[0] + EVEN, 360.0)) - EVEN
    if len(places) < FEWEST_INCREMENTS or np.abs(places - spacing * np.arange(len(places))).max() > EVEN:
        raise InputError(
            f"phase increments of {', '.join(f'{one:g}' for one in increments)} degrees; four or more, evenly "
            "spaced over 360 degrees, are needed",
            field="cycled_increments",
        )


def check_equal(values: Sequence[float], what: str) -> None:
    """Raise InputError unless all images of an ellipse have the same value."""
    if max(values) > SAME * min(values):
        raise InputError(
            f"the {what} of the phase increments differ ({min(values):g} to {max(values):g}); an ellipse needs "
            "the same for all",
            field=what,
        )


class _Ellipse(NamedTuple):
    """Solution of a voxel (x, y, z): M, M E2 exp(i theta_0), beta, and the normal equations of beta.

    With the harmonics F of the images over the increment, those of I_k (1 - b cos(theta_k)) are

        G(h) = F(h) - beta / 2 F(h - 1) - conj(beta) / 2 F(h + 1).

    G(2) = G(-1) = 0 is solved for beta by least squares; G(0) = M and G(1) = -M E2 exp(i theta_0). `real` and
    `imaginary` are the derivatives of G(2) and G(-1) to the parts of beta, with the opposite sign; `normal` is
    the inverse of their normal equations.
    """

    centre: Array
    edge: Array
    beta: Array
    real: list[Array]
    imaginary: list[Array]
    normal: tuple[Array, Array, Array]

    @classmethod
    def of(cls, harmonic: Mapping[int, Array], xp: Any) -> _Ellipse:
        half = np.float32(0.5)
        real = [half * (harmonic[h - 1] + harmonic[h + 1]) for h in EMPTY]
        imaginary = [np.complex64(0.5j) * (harmonic[h - 1] - harmonic[h + 1]) for h in EMPTY]
        right = [harmonic[h] for h in EMPTY]
        rr, ri, ii = _dot(real, real), _dot(real, imaginary), _dot(imaginary, imaginary)
        determinant = rr * ii - ri * ri
        inverse = (determinant > 0) / xp.where(determinant > 0, determinant, np.float32(1))
        normal = (inverse * ii, -inverse * ri, inverse * rr)
        beta = _solved(normal, _dot(real, right), _dot(imaginary, right))
        lower, upper = half * beta, half * beta.conj()
        centre = harmonic[0] - lower * harmonic[-1] - upper * harmonic[1]
        edge = lower * harmonic[0] + upper * harmonic[2] - harmonic[1]
        return cls(centre, edge, beta, real, imaginary, normal)

    def weights(self, increments: Sequence[float]) -> Iterator[tuple[float, Array]]:
        """Yield every increment [rad] with 1 - b cos(theta_k) (x, y, z)."""
        for increment in np.radians(increments):
            yield increment, 1 - (self.beta * np.complex64(np.exp(1j * increment))).real

    def misfit(self, harmonic: Mapping[int, Array], increments: Sequence[float], xp: Any) -> Array:
        """Return the squares of G(2) and G(-1) (x, y, z), chi^2 of 2 degrees of freedom for unit noise."""
        rest = [
            harmonic[h] - self.beta.real * real - self.beta.imag * imaginary
            for h, real, imaginary in zip(EMPTY, self.real, self.imaginary, strict=True)
        ]
        power = sum(weight**2 for _, weight in self.weights(increments))
        misfit: Array = (
            _dot(rest, rest) * np.float32(len(increments) ** 2) / xp.maximum(power, np.float32(TINY))
        )
        return misfit

    def log_deviation(
        self, harmonic: Mapping[int, Array], increments: Sequence[float], seen: Array, xp: Any
    ) -> Array:
        """Return the standard deviation of log E2 (x, y, z) for images with unit noise.

        log E2 changes by the real part of the sum of a(h) G(h) of the noise; see the module.
        """
        half, one = np.float32(0.5), np.complex64(1)
        edge, centre = xp.where(seen, self.edge, one), xp.where(seen, self.centre, one)
        lower = half * (harmonic[0] / edge + harmonic[-1] / centre)
        pull = lower + (half * (harmonic[2] / edge + harmonic[1] / centre)).conj()
        back = _solved(self.normal, pull.real, -pull.imag)
        change = {0: -1 / centre, 1: -1 / edge}
        for h, real, imaginary in zip(EMPTY, self.real, self.imaginary, strict=True):
            change[h] = back.real * real.conj() + back.imag * imaginary.conj()
        total = xp.zeros(seen.shape, np.float32)
        for increment, weight in self.weights(increments):
            gain = sum(a * np.complex64(np.exp(-1j * h * increment)) for h, a in change.items())
            total += (weight * abs(gain)) ** 2
        deviation: Array = total ** np.float32(0.5) / np.float32(len(increments))
        return deviation


def _dot(one: Sequence[Array], other: Sequence[Array]) -> Array:
    """Return the real part of the sum of conj(one) other."""
    first, second = ((a.conj() * b).real for a, b in zip(one, other, strict=True))
    total: Array = first + second
    return total


def _solved(normal: tuple[Array, Array, Array], real: Array, imaginary: Array) -> Array:
    """Return the solution of normal equations with the inverse `normal`, as a complex number."""
    solution: Array = (normal[0] * real + normal[1] * imaginary) + 1j * (
        normal[1] * real + normal[2] * imaginary
    )
    return solution


METHODS = (
    Method(
        stage="balanced-decay", name="ellipse", run=ellipse, params=EllipseParams,
        inputs=("cycled", "cycled_phase", "mask", "cycled_increments", "cycled_times"),
        outputs={
            "balanced_r2": "1/s", "balanced_r2_sd": "1/s", "balanced_precession": "rad",
            "balanced_unbanded": "arbitrary",
        },
        summary="R2 from complex images at four or more phase increments, with standard deviation",
        doi="10.1002/mrm.26717", bytes_per_voxel=280, bytes_per_volume=8, within_mask=True,
    ),
)  # fmt: skip

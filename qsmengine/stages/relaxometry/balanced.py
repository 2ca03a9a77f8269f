"""R2 from balanced steady-state free precession (bSSFP, TrueFISP, FIESTA).

The magnitude at the time TE after pulses of the angle a = B1 a_nominal is, with E1 = exp(-TR R1),
E2 = exp(-TR R2), and the precession theta = increment + 2 pi TR df per repetition,

    s = A (1 - E1) sin(a) sqrt(1 - 2 E2 cos(theta) + E2^2) / D exp(-TE R2),
    D = (1 - E1 cos a) (1 - E2 cos(theta)) - E2 (E1 - cos a) (E2 - cos(theta)).

Off resonance it is not the signal of resonance: at TR 6 ms and 40 Hz the resonant formula makes T2 of 70 ms
half as long. `known_field` takes df from a field map and R1 and B1 from several flip angles, and fits R2 and A
by damped Gauss-Newton. With a single flip angle it needs `amplitude`, the A of spoiled echoes of the same gain:
between bands the magnitude barely depends on the increment. Where theta is within 0.2 turns of a multiple of
2 pi, the band, an image is left out; voxels with too few images are 0.

`ellipse` takes complex images at four or more evenly spaced increments. Those of a voxel are on an ellipse,

    I_k (1 - b cos(theta_k)) = M (1 - E2 exp(i theta_k)),

which is linear in M, M E2 exp(i theta_0) and b exp(i theta_0) (PLANET solved without an ellipse fit; for four
increments M is the geometric solution). It needs neither field, R1, nor B1 and has no bands, but more signal.

Standard deviations are first-order estimates; that of `known_field` takes A, R1 and B1 as exact. Voxels without
signal and those outside the mask are 0.

References: Freeman & Hill 1971, 10.1016/0022-2364(71)90089-5 (steady state); Xiang & Hoff 2014,
10.1002/mrm.25098 (geometric solution); Shcherbakova et al. 2018, 10.1002/mrm.26717 (PLANET).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.balanced import BALANCED_FIT
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.noise_level import noise_level
from qsmengine.stages.echoes import checked_mask, echo_first
from qsmengine.stages.method import Method
from qsmengine.stages.noise import noise_of_residuals
from qsmengine.stages.params import Params
from qsmengine.stages.relaxometry.flip_angles import DISTINCT
from qsmengine.units import hz_per_ppm

STARTS = 24
"""Rates from which the search takes the best as its start."""
SHORTEST, LONGEST = 5e-4, 0.05
"""Range of the repetition time [s]."""
FEWEST_INCREMENTS, EVEN = 4, 0.5
"""Fewest increments of an ellipse, and their largest deviation from even ones [deg]."""
HARMONICS = range(-2, 4)
"""Harmonics of the images over the increment that the ellipse takes."""
_MAPS = ("r2", "amplitude", "variance", "residual", "used")


class KnownFieldParams(Params):
    """Parameters of the fit with a known field."""

    noise: float | None = Field(
        None, gt=0, description="noise of the real part [unit of the signal]; none: from the images"
    )
    t2_min: float = Field(0.004, gt=0, description="lower bound of T2 [s]")
    t2_max: float = Field(2.5, gt=0, description="upper bound of T2 [s]")
    steps: int = Field(10, ge=1, le=100, description="Gauss-Newton steps")


class EllipseParams(Params):
    """Parameters of the ellipse."""

    t2_min: float = Field(0.004, gt=0, description="lower bound of T2 [s]")
    t2_max: float = Field(2.5, gt=0, description="upper bound of T2 [s]")


class BalancedResult(NamedTuple):
    """R2 and its standard deviation [1/s], and the number of images used, each (x, y, z)."""

    balanced_r2: Array
    balanced_r2_sd: Array
    balanced_used: Array


class EllipseResult(NamedTuple):
    """R2 [1/s], precession per repetition without increment [rad], and abs(M), each (x, y, z)."""

    balanced_r2: Array
    balanced_precession: Array
    balanced_unbanded: Array


def known_field(
    balanced: Array,
    mask: Array,
    balanced_angles: tuple[float, ...],
    balanced_increments: tuple[float, ...],
    balanced_times: tuple[float, ...],
    balanced_echoes: tuple[float, ...],
    r1: Array,
    total_field: Array,
    grid: Grid,
    params: KnownFieldParams,
    *,
    b1: Array | None = None,
    amplitude: Array | None = None,
    device: Device,
) -> BalancedResult:
    """Return R2 from magnitudes and a field map.

    Parameters
    ----------
    balanced
        (x, y, z, volume) magnitude, any unit.
    mask, r1, total_field
        (x, y, z), [1/s] and [ppm].
    balanced_angles, balanced_increments, balanced_times, balanced_echoes
        (volume,) flip angles and phase increments [deg], repetition and echo times [s].
    grid, params, device
        Geometry with field strength, parameters and compute device.
    b1
        (x, y, z) ratio of the actual to the nominal flip angle; None: 1.
    amplitude
        (x, y, z) equilibrium magnetisation times the receive field [unit of the signal]; None: fitted.

    Raises
    ------
    InputError
        For a single flip angle without `amplitude`, tables that do not match, a grid without field strength,
        and an empty mask.
    """
    tables = (balanced_angles, balanced_increments, balanced_times, balanced_echoes)
    volumes = _volumes(balanced, tables, grid)
    if amplitude is None and max(balanced_angles) < DISTINCT * min(balanced_angles):
        raise InputError(
            f"one flip angle, {balanced_angles[0]:g} degrees: R2 needs a second one, or the amplitude of "
            "spoiled echoes",
            field="balanced_angles",
        )
    fewest = 2 if amplitude is None else 1
    rate, field = device.asarray(r1).reshape(-1), device.asarray(total_field).reshape(-1)
    inside = ((checked_mask(mask, grid, device).reshape(-1) > 0) & (rate > 0)).view("uint8")
    ratio = device.xp.ones(inside.shape, np.float32) if b1 is None else device.asarray(b1).reshape(-1)
    known = ratio if amplitude is None else device.asarray(amplitude).reshape(-1)
    signal = echo_first(balanced, device).reshape(volumes, -1)
    largest = float(device.xp.where(inside > 0, signal.max(axis=0), np.float32(0)).max())
    scale = 1.0 / largest if largest > 0 else 1.0
    maps = {name: device.empty(tuple(inside.shape)) for name in _MAPS}
    launch(
        BALANCED_FIT, device, signal=signal, mask=inside, r1=rate, b1=ratio, known=known, scale=scale,
        field=field * np.float32(hz_per_ppm(grid.required_field_strength)),
        flips=device.asarray(np.radians(balanced_angles)),
        increments=device.asarray(np.radians(balanced_increments)),
        repetitions=device.asarray(np.asarray(balanced_times)),
        times=device.asarray(np.asarray(balanced_echoes)),
        lowest=1.0 / params.t2_max, highest=1.0 / params.t2_min, with_amplitude=int(amplitude is not None),
        fewest=fewest, starts=STARTS, steps=params.steps, **maps,
    )  # fmt: skip
    seen = maps["r2"] > 0
    if params.noise is not None:
        noise = params.noise * scale
    elif (freedom := volumes - fewest) > 0 and bool(seen.any()):
        noise = noise_of_residuals(maps["residual"][seen], freedom)
    else:
        noise = scale * noise_level(signal[0].reshape(grid.shape), inside.reshape(grid.shape), device)
    deviation = np.float32(noise) * maps["r2"] * maps["variance"] ** np.float32(0.5)
    return BalancedResult(*(image.reshape(grid.shape) for image in (maps["r2"], deviation, maps["used"])))


def _volumes(balanced: Array, tables: tuple[tuple[float, ...], ...], grid: Grid) -> int:
    """Return the number of images; raises InputError unless every table has an entry for each."""
    counts = {len(table) for table in tables}
    if counts != {balanced.shape[-1]} or tuple(balanced.shape[:3]) != grid.shape:
        raise InputError(
            f"the images have shape {tuple(balanced.shape)}, the grid {grid.shape}, the tables "
            f"{sorted(counts)} entries",
            field="shape",
        )
    if not all(SHORTEST < time < LONGEST for time in tables[2]):
        raise InputError(
            f"repetition times of {', '.join(f'{time:g}' for time in tables[2])} s; balanced sequences have "
            f"{SHORTEST:g} to {LONGEST:g} s",
            field="RepetitionTime",
        )
    return int(balanced.shape[3])


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
    if max(cycled_times) > 1.001 * min(cycled_times):
        raise InputError("the repetition times differ", field="RepetitionTime")
    inside = checked_mask(mask, grid, device) > 0
    count, tr = len(cycled_increments), cycled_times[0]
    harmonic = {h: xp.zeros(grid.shape, np.complex64) for h in HARMONICS}
    for k, increment in enumerate(cycled_increments):
        image = device.asarray(cycled[..., k]) * xp.exp(1j * device.asarray(cycled_phase[..., k]))
        for h in HARMONICS:
            harmonic[h] += image * np.complex64(np.exp(-1j * h * np.radians(increment)) / count)
    centre, edge = _ellipse_of(harmonic, xp)
    seen = inside & (abs(centre) > 0) & (abs(edge) > 0)
    e2 = xp.where(seen, edge / xp.where(seen, centre, np.complex64(1)), np.complex64(0.5))
    size = abs(e2).clip(np.exp(-tr / params.t2_min), np.exp(-tr / params.t2_max))
    zero = np.float32(0)
    r2 = xp.where(seen, xp.log(size) * np.float32(-1 / tr), zero).astype(np.float32)
    precession = xp.where(seen, xp.angle(e2), zero).astype(np.float32)
    return EllipseResult(r2, precession, xp.where(seen, abs(centre), zero).astype(np.float32))


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


def _ellipse_of(harmonic: Mapping[int, Array], xp: Any) -> tuple[Array, Array]:
    """Return M and M E2 exp(i theta_0) (x, y, z) from the harmonics F of the images over the increment.

    With beta = b exp(i theta_0) the harmonics 2 and -1 of I_k (1 - b cos(theta_k)) are 0,

        F(h) = beta / 2 F(h - 1) + conj(beta) / 2 F(h + 1),

    which is solved for beta by least squares; harmonic 0 is M, and 1 is -M E2 exp(i theta_0).
    """
    half = np.float32(0.5)
    columns, right = [], []
    for h in (2, -1):
        columns.append((half * (harmonic[h - 1] + harmonic[h + 1]), 0.5j * (harmonic[h - 1] - harmonic[h + 1])))
        right.append(harmonic[h])

    def dot(one: Sequence[Array], other: Sequence[Array]) -> Array:
        first, second = ((a.conj() * b).real for a, b in zip(one, other, strict=True))
        total: Array = first + second
        return total

    real, imaginary = ([pair[n] for pair in columns] for n in (0, 1))
    rr, ri, ii = dot(real, real), dot(real, imaginary), dot(imaginary, imaginary)
    ry, iy = dot(real, right), dot(imaginary, right)
    determinant = rr * ii - ri * ri
    inverse = 1 / xp.where(determinant > 0, determinant, np.float32(1))
    beta = xp.where(determinant > 0, inverse * ((ii * ry - ri * iy) + 1j * (rr * iy - ri * ry)), np.float32(0))
    lower, upper = half * beta, half * beta.conj()
    centre = harmonic[0] - lower * harmonic[-1] - upper * harmonic[1]
    edge = lower * harmonic[0] + upper * harmonic[2] - harmonic[1]
    return centre, edge


METHODS = (
    Method(
        stage="balanced-decay", name="known_field", run=known_field, params=KnownFieldParams,
        inputs=(
            "balanced", "mask", "balanced_angles", "balanced_increments", "balanced_times", "balanced_echoes",
            "r1", "total_field", "b1?", "amplitude?",
        ),
        outputs={"balanced_r2": "1/s", "balanced_r2_sd": "1/s", "balanced_used": "1"},
        summary="R2 from magnitudes with the off-resonance of a field map; bands are marked",
        doi="10.1016/0022-2364(71)90089-5", bytes_per_voxel=60, bytes_per_volume=8, within_mask=True,
    ),
    Method(
        stage="balanced-decay", name="ellipse", run=ellipse, params=EllipseParams,
        inputs=("cycled", "cycled_phase", "mask", "cycled_increments", "cycled_times"),
        outputs={"balanced_r2": "1/s", "balanced_precession": "rad", "balanced_unbanded": "arbitrary"},
        summary="R2 from complex images at four or more phase increments",
        doi="10.1002/mrm.26717", bytes_per_voxel=200, bytes_per_volume=8, within_mask=True,
    ),
)  # fmt: skip

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

The standard deviation is a first-order estimate that takes A, R1 and B1 as exact. Voxels without signal and
those outside the mask are 0.

Reference: Freeman & Hill 1971, 10.1016/0022-2364(71)90089-5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
from qsmengine.stages.params import Field, Params
from qsmengine.stages.relaxometry.flip_angles import DISTINCT
from qsmengine.units import hz_per_ppm

STARTS = 24
"""Rates from which the search takes the best as its start."""
SHORTEST, LONGEST = 5e-4, 0.05
"""Range of the repetition time [s]."""
_MAPS = ("r2", "amplitude", "variance", "residual", "used")


class KnownFieldParams(Params):
    """Parameters of the fit with a known field."""

    noise: float | None = Field(
        None, gt=0, description="noise of the real part [unit of the signal]; none: from the images"
    )
    t2_min: float = Field(0.004, gt=0, description="lower bound of T2 [s]")
    t2_max: float = Field(2.5, gt=0, description="upper bound of T2 [s]")
    steps: int = Field(10, ge=1, le=100, description="Gauss-Newton steps")


class BalancedResult(NamedTuple):
    """R2 and its standard deviation [1/s], and the number of images used, each (x, y, z)."""

    balanced_r2: Array
    balanced_r2_sd: Array
    balanced_used: Array


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
)  # fmt: skip

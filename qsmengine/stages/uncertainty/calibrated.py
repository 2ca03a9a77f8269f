"""Intervals of chi, calibrated on virtual heads: how far the map may be from the truth.

The half-width of an interval is

    u(x) = sqrt(sum_k (a_k c_k(x))^2)    [ppm]

with the causes c_k of :mod:`qsmengine.stages.uncertainty.causes`: noise, misfit of the field, steep fields,
edges of chi, tissue, and closeness to the surface of the mask. chi +- u contains the truth in 68 % or 95 % of
the voxels. Each of the two has its own coefficients a_k, since the errors are not normally distributed.

The coefficients minimise the quantile loss of log |error| - log u (Koenker & Bassett 1978) at 0.68 and 0.95
over virtual heads of known chi. There is a set for each inversion that presets use, with several echoes and
with one. `calibration.json` holds them; ``python -m bench uncertainty --fit`` writes it, and without ``--fit``
counts how often intervals contain the truth in other heads (docs/uncertainty.md).

The mean of chi over a region has separate intervals. Errors that edges and misfit cause change their sign
within a few voxels and average out; those of background and regularisation keep it over a structure of any
size. Two shares for each level say how much of either is left. The mean of the map `chi_region_ci68` over a
region is the half-width for the mean of chi there. The shares are fitted by the same loss to structures of 0.2
to 230 ml.

In contrast to `monte_carlo` the intervals include errors that repeat in every scan: regularisation, residual
background, partial volume. The error is that of chi relative to its mean in the mask. Virtual heads contain
neither movement nor errors of the header, so the intervals do not include these.

Reference: Koenker & Bassett 1978, 10.2307/1913643.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.noise import field_weight
from qsmengine.stages.params import Field, Params
from qsmengine.stages.single_step.result import FIELD_MARGIN
from qsmengine.stages.uncertainty.calibration import (
    LEVELS,
    Coefficients,
    calibration_of,
    load_calibration,
    load_region_calibration,
)
from qsmengine.stages.uncertainty.causes import error_causes


class CalibratedParams(Params):
    """Parameters of calibrated intervals."""

    calibration: str | None = Field(
        None, description="chain whose coefficients are used; none: that of the run, or tfi"
    )


class Intervals(NamedTuple):
    """Half-widths of intervals around chi."""

    chi_ci68: Array
    """(x, y, z) [ppm]: chi +- this contains the truth in 68 % of the voxels; 0 outside the mask."""
    chi_ci95: Array
    """(x, y, z) [ppm]: the same for 95 %."""
    chi_region_ci68: Array
    """(x, y, z) [ppm]: the mean over a region is the half-width of the 68 % interval of its mean chi."""
    chi_region_ci95: Array
    """(x, y, z) [ppm]: the same for 95 %."""


def calibrated(
    chi: Array,
    total_field: Array,
    noise: Array,
    mask: Array,
    grid: Grid,
    params: CalibratedParams,
    *,
    device: Device,
    magnitude: Array | None = None,
) -> Intervals:
    """Return the half-widths of 68 % and 95 % intervals of chi, in voxels and for means of regions.

    Parameters
    ----------
    chi, total_field, noise
        (x, y, z) [ppm].
    mask
        (x, y, z): where chi is defined.
    grid, params, device
        Geometry, parameters, and where to compute.
    magnitude
        (x, y, z, echo), any unit; separates CSF from tissue by its decay.

    Raises
    ------
    UsageError
        For a calibration that does not exist.
    InputError
        For noise that is unknown everywhere.
    """
    one = magnitude is not None and magnitude.shape[3] == 1
    name = params.calibration or calibration_of("tfi", one_echo=one)
    calibrations = load_calibration(name), load_region_calibration(name)
    inside = device.asarray(mask, bool)
    noise = device.asarray(noise)
    field_weight(noise, inside)  # raises if the noise is unknown everywhere
    causes = error_causes(
        device.asarray(chi), device.asarray(total_field), noise, inside, magnitude, grid, device
    )
    maps: list[Array] = []
    for coefficients in calibrations:
        narrow, wide = (half_width(causes, coefficients[level]) for level in LEVELS)
        maps += [narrow, device.xp.maximum(narrow, wide)]
    return Intervals(*maps)


def half_width(causes: Mapping[str, Array], coefficients: Coefficients) -> Array:
    """Return u = sqrt(sum_k (a_k c_k)^2) of the causes c_k, arrays [ppm], with the coefficients a_k."""
    squares = [(causes[name] * np.float32(weight)) ** 2 for name, weight in coefficients.items()]
    root: Array = sum(squares[1:], squares[0]) ** np.float32(0.5)
    return root


METHODS = (
    Method(
        stage="uncertainty", name="calibrated", run=calibrated, params=CalibratedParams,
        inputs=("chi", "total_field", "noise", "mask", "magnitude?"),
        outputs=dict.fromkeys(Intervals._fields, "ppm"),
        summary="intervals that contain the truth in 68 % and 95 % of the voxels of virtual heads",
        doi="10.2307/1913643", bytes_per_voxel=120, reach=lambda _: FIELD_MARGIN, within_mask=True,
    ),
)  # fmt: skip

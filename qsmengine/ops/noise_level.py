"""Noise of a field, estimated from the field itself.

With d_a the difference between neighbours along axis a divided by sqrt(2), white noise of standard deviation s
has the same standard deviation in f, in d_a d_b f and in d_x d_y d_z f. A field of sources has less and less
from one to the next: it is smooth, and the third-order difference is largest at frequencies along the diagonals
of the axes, where the dipole is 0 if voxels are isotropic and B0 is along an axis. Hence

    s^2 = (t^2 - R^2 q^2) / (1 - R^2), not below 0,

with t and q the standard deviations of the third- and second-order differences, by the median of their
absolute values (Donoho and Johnstone 1994, 10.1093/biomet/81.3.425), and R the ratio t / q of a field without
noise.
"""

from __future__ import annotations

import math

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.ops.order_statistics import median

FIELD_RATIO = 0.6
"""R: 0.47 and 0.59 were found for brains at voxels of 1 and 1.5 mm, 1 for white noise."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution, divided by its median absolute value."""


def noise_level(field: Array, mask: Array, device: Device, *, weight: Array | None = None) -> float:
    """Return the standard deviation of white noise in `field` (x, y, z), in its unit; 0 if `mask` is too small.

    Voxels whose `weight` (x, y, z) is less than half its median do not count. Noise that is correlated between
    neighbours, as after smoothing or interpolation, is underestimated.
    """
    field, mask = device.asarray(field), device.asarray(mask, bool)
    if weight is not None:
        weight = device.asarray(weight)
        mask = mask & (weight >= 0.5 * median(weight[mask]))
    third = _spread(field, mask, (0, 1, 2))
    second = sum(_spread(field, mask, axes) for axes in ((0, 1), (1, 2), (2, 0))) / 3
    return math.sqrt(max(third**2 - (FIELD_RATIO * second) ** 2, 0.0) / (1 - FIELD_RATIO**2))


def _spread(field: Array, mask: Array, axes: tuple[int, ...]) -> float:
    """Return the standard deviation of the normalised difference along `axes` inside `mask`."""
    for axis in axes:
        low: list[slice] = [slice(None)] * 3
        high = list(low)
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        field = field[tuple(high)] - field[tuple(low)]
        mask = mask[tuple(high)] & mask[tuple(low)]
    if not bool(mask.any()):
        return 0.0
    return NORMAL * median(abs(field[mask])) / math.sqrt(2.0 ** len(axes))

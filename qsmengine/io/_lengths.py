"""Gradient tables whose directions encode the b-value in their length.

Some converters write the largest b-value for every weighted volume and scale the direction instead, either by
sqrt(b / b_max), like the gradient amplitude, or by b / b_max. The image decides which of the two applies, if
any: its attenuation A = log(S_0 / S) grows as length^q, with q near 2, 1 or 0.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.grid import FloatArray

LEAST_SPREAD = 0.1
"""Relative spread of the lengths below which the directions are imprecise unit vectors."""
AGREEMENT = 0.05
"""Largest relative difference at which b-values still follow the lengths."""
_CLUSTER = 0.05
_LEAST_MEMBERS = 6
_LARGEST_ERROR = 0.25
_LIMITS = (0.35, 1.17)
"""Exponents q below which b does not depend on the length, and above which b grows as the length squared.
Kurtosis lowers the observed exponent: 2 becomes about 1.3, 1 becomes about 0.7."""


def scale_by_length(
    b_values: FloatArray,
    b_vectors: FloatArray,
    weighted: npt.NDArray[np.bool_],
    attenuation: Callable[[], FloatArray],
    source: Path,
) -> tuple[FloatArray, FloatArray, list[str]]:
    """Return the table and notes, with b-values scaled if the directions' lengths encode them.

    Scaled b-values (volume,) [s/mm^2] come with unit directions (volume, 3); other tables are unchanged.

    Parameters
    ----------
    b_values, b_vectors
        (volume,) [s/mm^2] and (volume, 3) as in the files.
    weighted
        (volume,) True for volumes with b > 0 and a direction.
    attenuation
        Returns A (volume,) of the image; called only if the table is ambiguous.
    source
        File of the directions, for messages.

    Raises
    ------
    InputError
        If the lengths vary, b does not follow them and the image does not settle the question.
    """
    norm = np.linalg.norm(b_vectors, axis=1)
    if not weighted.any():
        return b_values, b_vectors, []
    length, b = norm / norm[weighted].max(), b_values / b_values[weighted].max()
    own, given = length[weighted], b[weighted]
    if own.min() > 1.0 - LEAST_SPREAD or any(np.allclose(given, own**q, rtol=AGREEMENT) for q in (1, 2)):
        return b_values, b_vectors, []
    shown = _exponent(own, attenuation()[weighted] / given)
    if shown is None:
        raise InputError(
            f"the directions' lengths, {own.min():.3g} to 1 of the longest, may encode the b-value, but "
            "the image does not decide; write each volume's b-value into the table, with unit directions",
            source=source,
            field="bvec",
        )
    power = int(np.searchsorted(_LIMITS, shown))
    if power == 0:
        return b_values, b_vectors, []
    scaled = np.where(weighted, b_values * length**power, b_values)
    rule = "length" if power == 1 else "length squared"
    found = ", ".join(f"{value:.0f}" for value in np.unique(np.round(scaled[weighted], -1))[:8])
    note = f"the image's attenuation grows as length^{shown:.2g}; b scaled by the {rule}: {found} s/mm^2"
    unit = np.where(weighted[:, None], b_vectors / np.where(weighted, norm, 1.0)[:, None], b_vectors)
    return scaled, unit, [f"{source}: the directions' lengths encode the b-value ({note})"]


def measured_attenuation(signal: npt.NDArray[np.float32], unweighted: npt.NDArray[np.bool_]) -> FloatArray:
    """Return log(S_0 / S), (volume,), of the mean signal in voxels bright at b = 0; NaN if there are none."""
    if not unweighted.any():
        return np.full(signal.shape[3], np.nan)
    reference = signal[..., unweighted].mean(axis=3, dtype=np.float64)
    inside = reference > 0.5 * np.percentile(reference[reference > 0], 90) if (reference > 0).any() else None
    if inside is None:
        return np.full(signal.shape[3], np.nan)
    means = np.array([signal[..., v][inside].mean(dtype=np.float64) for v in range(signal.shape[3])])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(means[unweighted].mean() / means), dtype=np.float64)


def _exponent(length: FloatArray, attenuation: FloatArray) -> float | None:
    """Return the slope of log attenuation on log length, from groups of equal length; None if unclear."""
    if not np.isfinite(attenuation).all() or attenuation.min() <= 0:
        return None
    x, y = np.log(length), np.log(attenuation)
    order = np.argsort(x)
    groups = np.split(order, np.flatnonzero(np.diff(x[order]) > _CLUSTER) + 1)
    large = [g for g in groups if len(g) >= _LEAST_MEMBERS and np.ptp(x[g]) <= _CLUSTER]
    if len(large) > 1:
        x, y = (np.array([v[g].mean() for g in large]) for v in (x, y))
        return float(np.polyfit(x, y, 1)[0])
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - slope * centred
    error = np.sqrt(rest @ rest / max(len(x) - 2, 1) / (centred @ centred))
    return slope if error <= _LARGEST_ERROR else None

"""Fits that give numbers although tables and images do not belong together: they are refused.

Echoes in the wrong order, flip angles in radians or exchanged, and an image with another receive gain all leave
a fit that converges. The signal then grows with the echo time, values pile up at the limits of the fit, or
their standard deviations are as large as they are. What is less clear shows in the quality measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.ops.order_statistics import median

AT_LIMIT = 0.2
"""Share of the mask's voxels at a limit of a fit from which the fit is refused; fluid fills far less."""
UNSURE = 0.5
"""Median ratio of a value's standard deviation to the value from which the fit is refused."""
GROWTH = 1.05
"""Ratio of a later echo's median signal to an earlier one's from which the echoes are in the wrong order."""
FASTEST = 6e-3
"""Median mean diffusivity [mm^2/s] from which a fit is refused: twice that of free water at 37 C."""
SLOWEST = 3e-4
"""Median mean diffusivity [mm^2/s] below which tissue is not alive, if the table is right."""
NEGATIVE = 0.1
"""Share of the fitted voxels with a negative eigenvalue from which a note is added; brains have up to 0.03."""
STRAIGHT = 0.03
"""Largest deviation of the logarithm of the echoes' median signals from a straight line over the echo time."""
SAMPLED = 64
"""Voxels along each axis, at least, of which the checks look at some: their medians need no more."""


def check_decay(
    signal: Array, mask: Array, volumes: Sequence[int], echo_times: Sequence[float], advice: str = ""
) -> None:
    """Raise InputError if the last of some echoes is brighter than the first.

    Parameters
    ----------
    signal, mask
        (x, y, z, volume) and (x, y, z).
    volumes
        Indices of the echoes of one excitation.
    echo_times
        (volume,) [s], of all volumes.
    advice
        What else to do if the order is right.
    """
    first, last = (pick(volumes, key=lambda volume: echo_times[volume]) for pick in (min, max))
    inside = to_numpy(_sample(mask)) != 0
    images = (to_numpy(_sample(signal[..., volume])).astype(np.float32) for volume in (first, last))
    early, late = (median(image[inside]) for image in images)
    if echo_times[last] > echo_times[first] and late > GROWTH * early:
        raise InputError(
            f"the signal grows with the echo time: its median in the mask is {early:.4g} at "
            f"{1e3 * echo_times[first]:g} ms and {late:.4g} at {1e3 * echo_times[last]:g} ms; images and echo "
            f"times are probably in a different order{advice}",
            field="EchoTime",
        )


def check_exchanged(signal: Array, mask: Array, echo_times: Sequence[float], advice: str = "") -> None:
    """Raise InputError if the signal grows between echoes, but decays exponentially once two change places.

    Compared are medians in the mask; what has another reason (own scales of the echoes, fluid) passes.

    Parameters
    ----------
    signal, mask
        (x, y, z, echo) and (x, y, z).
    echo_times
        (echo,) [s], ascending.
    advice
        What else to do if the order is right.
    """
    inside = to_numpy(_sample(mask)) != 0
    images = (to_numpy(_sample(signal[..., echo])).astype(np.float32) for echo in range(len(echo_times)))
    levels = np.array([median(image[inside]) for image in images])
    if len(levels) < 3 or levels.min() <= 0 or (levels[1:] <= GROWTH * levels[:-1]).all():
        return
    for one, other in combinations(range(len(levels)), 2):
        changed = levels.copy()
        changed[[one, other]] = levels[[other, one]]
        line = np.polyfit(echo_times, np.log(changed), 1)
        away = np.abs(np.log(changed) - np.polyval(line, echo_times)).max()
        if line[0] < 0 and away <= STRAIGHT:
            found = ", ".join(f"{level:.4g}" for level in levels)
            raise InputError(
                f"the signal grows between echoes (medians in the mask: {found}), but decays evenly if echoes "
                f"{one + 1} and {other + 1} change places: magnitudes or echo times are exchanged{advice}",
                field="EchoTime",
            )


def check_limits(values: Array, limits: tuple[float, float], what: str, advice: str) -> None:
    """Raise InputError if many of the known values (other than 0) lie at a limit of the fit."""
    known = _known(values)
    for limit in limits:
        share = float((abs(known - limit) <= 1e-3 * limit).mean(dtype=np.float64)) if known.size else 0.0
        if share > AT_LIMIT:
            where = f"{what} lies at the limit of its fit, {limit:.4g}, in {100 * share:.0f} % of the voxels"
            raise InputError(f"{where}: {advice}")


def check_certainty(values: Array, sd: Array, what: str, advice: str) -> None:
    """Raise InputError if standard deviations are typically as large as half of the values."""
    values, sd = _sample(values), _sample(sd)
    known = values > 0
    ratio = median(sd[known] / values[known])
    if ratio > UNSURE:
        raise InputError(f"the standard deviation of {what} is typically {100 * ratio:.0f} % of it: {advice}")


def check_diffusivity(diffusivity: Array, status: Array) -> None:
    """Raise InputError if the median mean diffusivity [mm^2/s] of the fitted voxels is above that of water."""
    known = _sample(diffusivity)[_sample(status) > 0]
    found = float(median(known)) if known.size else 0.0
    if found > FASTEST:
        raise InputError(
            f"the median mean diffusivity is {found:.2g} mm^2/s, but free water has 0.003: the b-values are "
            "too small, or in another unit than s/mm^2",
            field="bval",
        )


def diffusivity_notes(diffusivity: Array, status: Array) -> list[str]:
    """Return notes on diffusivities [mm^2/s] that living tissue in a right mask does not have."""
    values, states = to_numpy(_sample(diffusivity)), to_numpy(_sample(status))
    fitted = (states == 1) | (states == 2)  # as in STATUS of qsmengine.stages.diffusion.fitting
    if not fitted.any():
        return []
    notes = []
    typical, share = float(median(values[fitted])), float((states[fitted] == 2).mean(dtype=np.float64))
    if share > NEGATIVE:
        notes.append(
            f"{100 * share:.0f} % of the fitted voxels have a negative eigenvalue: much noise, air in the "
            "mask, or volumes with b = 0 whose scale is smaller than that of the others"
        )
    if typical < SLOWEST:
        notes.append(
            f"the median mean diffusivity is {typical:.2g} mm^2/s, living brain has about 0.0008: fixed "
            "tissue, or b-values that are too large or in another unit than s/mm^2"
        )
    return notes


def _known(values: Array) -> Array:
    sampled = _sample(values)
    known: Array = sampled[sampled != 0]
    return known


def _sample(image: Array) -> Array:
    """Return every n-th voxel along each axis of (x, y, z), so that `SAMPLED` to twice as many remain."""
    sampled: Array = image[tuple(slice(None, None, max(1, n // SAMPLED)) for n in image.shape)]
    return sampled

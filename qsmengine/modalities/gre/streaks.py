"""Streak score of a susceptibility map.

The field determines chi badly near the cone where the dipole kernel D(k) = 1/3 - (k . b)^2 / k^2 vanishes.
Noise amplified there appears as streaks along the cone's directions, energy damped there as a smooth map. The
score compares the energy of the spectrum near the cone with that away from it, at the same spatial frequency:

    score = exp mean_s log( <|F chi|^2>_(s, |D| < 0.1) / <|F chi|^2>_(s, |D| >= 0.2) )

over shells s between 20 and 90 percent of the Nyquist frequency. It is near 1 if the spectrum is the same in
all directions, above if there are streaks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import cpu
from qsmengine.grid import Grid
from qsmengine.ops.dipole import dipole_response

CONE, AWAY = 0.1, 0.2
"""|D| below which a frequency is near the cone, and from which it is away from it."""
BAND = (0.2, 0.9)
"""Frequencies that are compared, relative to the Nyquist frequency of the largest edge."""
SHELLS = 20
"""Number of shells between 0 and the Nyquist frequency."""


def streak_score(chi: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], grid: Grid) -> float:
    """Return the streak score [1] of `chi` (x, y, z) inside `mask`; NaN for a small or constant map."""
    import scipy.fft

    inside = np.argwhere(mask)
    if not len(inside):
        return float("nan")
    box = tuple(slice(low, high) for low, high in zip(inside.min(axis=0), inside.max(axis=0) + 1, strict=True))
    part, within = chi[box], mask[box]
    centred = np.where(within, part - part[within].mean(dtype=np.float64), 0).astype(np.float32)
    energy = np.abs(scipy.fft.rfftn(centred, workers=-1)) ** 2
    shape = centred.shape
    dipole = dipole_response(shape, grid.voxel_size, grid.b0_direction, cpu())
    radius = _radius(shape, grid)
    shell = (radius * (2.0 * max(grid.voxel_size) * SHELLS)).astype(np.intp)
    near, away = np.abs(dipole) < CONE, np.abs(dipole) >= AWAY
    first, last = (round(edge * SHELLS) for edge in BAND)
    cone, rest = (_means(energy, shell, chosen, last)[first:] for chosen in (near, away))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.mean(np.log(cone / rest))))


def _radius(shape: tuple[int, ...], grid: Grid) -> npt.NDArray[np.float64]:
    """Return |k| [1/mm] on the half grid of a real transform."""
    x, y, z = grid.voxel_size
    k = np.fft.fftfreq(shape[0], x), np.fft.fftfreq(shape[1], y), np.fft.rfftfreq(shape[2], z)
    return np.asarray(np.sqrt(sum(part**2 for part in np.meshgrid(*k, indexing="ij", sparse=True))))


def _means(
    energy: npt.NDArray[np.float32], shell: npt.NDArray[np.intp], chosen: npt.NDArray[np.bool_], count: int
) -> npt.NDArray[np.float64]:
    """Return the mean energy of the chosen frequencies in the first `count` shells; NaN for an empty shell."""
    chosen = chosen & (shell < count)
    places = shell[chosen]
    sums = np.bincount(places, energy[chosen], minlength=count)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / np.bincount(places, minlength=count))

"""Streak score of a susceptibility map.

The field determines chi badly near the cone where the dipole kernel D(k) = 1/3 - (k . b)^2 / k^2 vanishes.
Noise amplified there appears as streaks along the cone's directions, energy damped there as a smooth map. The
score compares the energy of the spectrum near the cone with that away from it, at the same spatial frequency:

    score = exp mean_s log( <|F chi|^2>_(s, |D| < 0.1) / <|F chi|^2>_(s, |D| >= 0.2) )

over shells s between 20 and 90 percent of the Nyquist frequency. It is near 1 if the spectrum is the same in
all directions, above if there are streaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import cpu
from qsmengine.backend.fft import RealFFT, fast_shape
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
    if not mask.any():
        return float("nan")
    x, y, z = (_extent(np.asarray(mask.any(axis=others))) for others in ((1, 2), (0, 2), (0, 1)))
    part, within = chi[x, y, z], mask[x, y, z]
    nx, ny, nz = part.shape
    shape = fast_shape((nx, ny, nz))
    centred = np.zeros(shape, np.float32)
    centred[:nx, :ny, :nz] = np.where(within, part - part[within].mean(dtype=np.float64), 0)
    device = cpu()
    spectrum = RealFFT(shape, device).forward(centred)
    energy = spectrum.real**2 + spectrum.imag**2
    dipole = np.abs(dipole_response(shape, grid.voxel_size, grid.b0_direction, device))
    shell = (_radius(shape, grid) * (2.0 * max(grid.voxel_size) * SHELLS)).astype(np.intp)
    first, last = (round(edge * SHELLS) for edge in BAND)
    cone, rest = _means(energy, shell, (dipole < CONE, dipole >= AWAY), last)[:, first:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.mean(np.log(cone / rest))))


def _extent(used: npt.NDArray[np.bool_]) -> slice:
    """Return the indices from the first to the last used one."""
    places = np.flatnonzero(used)
    return slice(places[0], places[-1] + 1)


def _radius(shape: tuple[int, ...], grid: Grid) -> npt.NDArray[np.float64]:
    """Return |k| [1/mm] on the half grid of a real transform."""
    x, y, z = grid.voxel_size
    k = np.fft.fftfreq(shape[0], x), np.fft.fftfreq(shape[1], y), np.fft.rfftfreq(shape[2], z)
    return np.asarray(np.sqrt(sum(part**2 for part in np.meshgrid(*k, indexing="ij", sparse=True))))


def _means(
    energy: npt.NDArray[np.floating[Any]],
    shell: npt.NDArray[np.intp],
    groups: Sequence[npt.NDArray[np.bool_]],
    count: int,
) -> npt.NDArray[np.float64]:
    """Return the mean energy (group, shell) in the first `count` shells of disjoint groups; NaN for none."""
    bins = len(groups) * count
    place = np.full(shell.shape, bins, np.intp)
    for number, chosen in enumerate(groups):
        np.copyto(place, shell + number * count, where=chosen & (shell < count))
    sums = np.bincount(place.ravel(), energy.ravel(), bins + 1)[:bins]
    with np.errstate(invalid="ignore"):
        means = sums / np.bincount(place.ravel(), minlength=bins + 1)[:bins]
    return np.asarray(means.reshape(len(groups), count))

"""A head with known susceptibility and field, and the dipole from its formula in double precision."""

from __future__ import annotations

import numpy as np

from qsmengine.grid import Grid

SHAPE = (44, 40, 36)


def head(rng, voxel=(1.0, 1.0, 1.0), b0=(0.0, 0.0, 1.0)):
    """An ellipsoid with spheres of other susceptibility, and its field on a grid twice as large."""
    centred = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij"))
    mask = ((centred / np.array([16, 15, 13])[:, None, None, None]) ** 2).sum(0) < 1
    chi = np.zeros(SHAPE)
    for value in (0.12, 0.06, -0.05, -0.03):
        centre = rng.uniform(-7, 7, 3)
        chi[((centred - centre[:, None, None, None]) ** 2).sum(0) < rng.uniform(3, 5) ** 2] = value
    chi *= mask
    big = tuple(2 * n for n in SHAPE)
    k = np.stack(np.meshgrid(*[np.fft.fftfreq(n, h) for n, h in zip(big, voxel, strict=True)], indexing="ij"))
    with np.errstate(invalid="ignore"):
        d = 1 / 3 - np.einsum("i...,i->...", k, b0) ** 2 / (k**2).sum(0)
    d[0, 0, 0] = 0
    field = np.fft.ifftn(np.fft.fftn(chi, s=big, axes=(0, 1, 2)) * d).real[tuple(slice(0, n) for n in SHAPE)]
    return chi, mask, field, Grid.from_voxel_size(SHAPE, voxel, field_strength=3.0, b0_direction=b0)


def nrmse(estimate, truth, mask):
    e, t = estimate[mask] - estimate[mask].mean(), truth[mask] - truth[mask].mean()
    return np.linalg.norm(e - t) / np.linalg.norm(t)


def dipole(shape, voxel, b0):
    """D(k) over the full spectrum, 0 at 0; at a Nyquist frequency the mean over both its signs."""
    k = np.stack(np.meshgrid(*[np.fft.fftfreq(n, h) for n, h in zip(shape, voxel, strict=True)], indexing="ij"))
    inner = np.stack([np.where(np.abs(f) == 0.5 / h, 0, f) for f, h in zip(k, voxel, strict=True)])
    along = np.einsum("i...,i->...", inner, b0) ** 2 + np.einsum("i...,i->...", k**2 - inner**2, np.square(b0))
    with np.errstate(invalid="ignore"):
        d = 1 / 3 - along / (k**2).sum(0)
    d[0, 0, 0] = 0
    return d


def convolve(image, response):
    return np.fft.ifftn(np.fft.fftn(image) * response).real


def gradient(x, spacing):
    return np.stack([(np.roll(x, -1, a) - x) / h for a, h in enumerate(spacing)])


def gradient_energy(shape, spacing):
    """|E|^2 over the full spectrum, from the transform of the difference stencils."""
    total = np.zeros(shape)
    for axis, h in enumerate(spacing):
        stencil = np.zeros(shape)
        stencil[0, 0, 0] -= 1 / h
        stencil[tuple(-1 if a == axis else 0 for a in range(3))] += 1 / h
        total += np.abs(np.fft.fftn(stencil)) ** 2
    return total

"""Random tensors, their signals, and the fit in float64 by NumPy's own least squares."""

from __future__ import annotations

from typing import Any

import numpy as np

PLACES = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def gradient_table(rng, directions=32, b_values=(1000.0,), b0=4) -> tuple[Any, Any]:
    """b-values [s/mm^2] and unit directions, b = 0 first."""
    vectors = rng.normal(size=(directions * len(b_values), 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    b = np.concatenate([np.zeros(b0), np.repeat(b_values, directions)])
    return b, np.concatenate([np.zeros((b0, 3)), vectors])


def random_tensors(rng, count, low=0.2e-3, high=3e-3):
    """(count, 3, 3) tensors with eigenvalues in [low, high] [mm^2/s] along random axes."""
    values = rng.uniform(low, high, (count, 3))
    axes = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    return np.einsum("nik,nk,njk->nij", axes, values, axes)


def signals(tensors, s0, b, g):
    """(count, volume): S0 exp(-b g' D g)."""
    return s0[:, None] * np.exp(-b * np.einsum("vi,nij,vj->nv", g, tensors, g))


def six(tensors):
    """(..., 3, 3) -> (..., 6) in the order xx, xy, xz, yy, yz, zz."""
    return np.stack([tensors[..., i, j] for i, j in PLACES], axis=-1)


def full(components):
    """(..., 6) -> (..., 3, 3)."""
    out = np.empty((*components.shape[:-1], 3, 3), dtype=np.float64)
    for n, (i, j) in enumerate(PLACES):
        out[..., i, j] = out[..., j, i] = components[..., n]
    return out


def reference_fit(signal, b, g, *, weighted):
    """Tensors (count, 3, 3) and S0 (count,) of (count, volume) signals, voxel by voxel in float64."""
    a = np.column_stack([np.ones_like(b), *(-b * (1 + (i != j)) * g[:, i] * g[:, j] for i, j in PLACES)])
    a *= np.r_[1.0, np.full(6, 1e-3)]
    found = []
    for y in np.log(signal.astype(np.float64)):
        beta = np.linalg.lstsq(a, y, rcond=None)[0]
        if weighted:
            w = np.exp(a @ beta)
            beta = np.linalg.lstsq(w[:, None] * a, w * y, rcond=None)[0]
        found.append(beta)
    beta = np.array(found)
    return full(beta[:, 1:] * 1e-3), np.exp(beta[:, 0])


def fractional_anisotropy(tensors):
    """FA from eigenvalues."""
    values = np.linalg.eigvalsh(tensors)
    deviation = values - values.mean(axis=-1, keepdims=True)
    return np.sqrt(1.5 * (deviation**2).sum(-1) / (values**2).sum(-1))

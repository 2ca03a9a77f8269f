"""The dipole's spectrum against its formula, and properties of the convolution."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.fft import RealFFT
from qsmengine.ops.dipole import dipole_response


def unit(v):
    return tuple(np.asarray(v, dtype=float) / np.linalg.norm(v))


DIRECTIONS = [(0, 0, 1), (0, 1, 0), unit((0.2, -0.3, 0.9)), unit((1, 1, 1))]


def full_dipole(shape, voxel, b):
    """Mean over the signs of every axis' Nyquist frequency."""
    axes = [np.fft.fftfreq(n, h) for n, h in zip(shape, voxel, strict=True)]
    mirrored = [np.where(2 * np.arange(n) == n, -f, f) for n, f in zip(shape, axes, strict=True)]
    total = np.zeros(shape)
    for chosen in itertools.product(*zip(axes, mirrored, strict=True)):
        k = np.stack(np.meshgrid(*chosen, indexing="ij"))
        with np.errstate(invalid="ignore", divide="ignore"):
            total += 1 / 3 - np.einsum("i...,i->...", k, b) ** 2 / (k**2).sum(0)
    total[0, 0, 0] = 0
    return total / 8


@pytest.mark.parametrize("b", DIRECTIONS)
@pytest.mark.parametrize(("shape", "voxel"), [((8, 10, 12), (1, 1, 1)), ((9, 8, 7), (0.6, 1, 2.5))])
def test_equals_the_formula_with_the_mean_over_signs_at_nyquist(shape, voxel, b, device):
    expected = full_dipole(shape, voxel, b)[..., : shape[2] // 2 + 1]
    assert np.abs(to_numpy(dipole_response(shape, voxel, b, device)) - expected).max() <= 4e-7


@pytest.mark.parametrize("b", DIRECTIONS)
def test_opposite_field_directions_give_the_same_dipole(b, device):
    first = dipole_response((6, 8, 10), (1.0, 1.2, 2.0), b, device)
    second = dipole_response((6, 8, 10), (1.0, 1.2, 2.0), tuple(-x for x in b), device)
    assert np.array_equal(to_numpy(first), to_numpy(second))


def test_permuting_axes_permutes_the_field(device, rng):
    chi = rng.standard_normal((8, 10, 12)).astype(np.float32)
    b, voxel = unit((0.2, -0.3, 0.9)), (1.0, 1.5, 2.0)
    field = convolve(chi, voxel, b, device)
    order = (2, 0, 1)
    permuted = convolve(
        np.ascontiguousarray(chi.transpose(order)),
        tuple(voxel[a] for a in order),
        tuple(b[a] for a in order),
        device,
    )
    assert np.abs(permuted - field.transpose(order)).max() <= 2e-6


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirroring_the_image_mirrors_the_field(axis, device, rng):
    chi = rng.standard_normal((8, 10, 12)).astype(np.float32)
    b, voxel = unit((0.2, -0.3, 0.9)), (1.0, 1.5, 2.0)
    mirrored = tuple(-x if a == axis else x for a, x in enumerate(b))
    field = convolve(chi, voxel, b, device)
    other = convolve(np.ascontiguousarray(np.flip(chi, axis)), voxel, mirrored, device)
    assert np.abs(other - np.flip(field, axis)).max() <= 2e-6


def test_the_operator_is_its_own_adjoint(device, rng):
    x, y = rng.standard_normal((2, 8, 9, 10)).astype(np.float32)
    b = unit((0.1, 0.5, 0.8))
    left = np.vdot(convolve(x, (1, 1, 2), b, device).astype(float), y)
    right = np.vdot(x.astype(float), convolve(y, (1, 1, 2), b, device))
    assert abs(left - right) <= 1e-5 * np.linalg.norm(x) * np.linalg.norm(y)


def convolve(chi, voxel, b, device):
    fft = RealFFT(chi.shape, device)
    return to_numpy(fft.filter(device.asarray(chi), dipole_response(chi.shape, voxel, b, device)))

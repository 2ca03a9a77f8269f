"""Spheres, and the solver's box."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.fft import RealFFT
from qsmengine.errors import InputError
from qsmengine.ops.domain import Domain, bounding_box, kernel_margin
from qsmengine.ops.smv import balance_spectrum, sphere_offsets, sphere_spectrum


@pytest.mark.parametrize(("radius", "voxel"), [(3.0, (1, 1, 1)), (4.0, (0.7, 1.1, 2.0)), (1.0, (1, 1, 1))])
def test_spheres_hold_every_voxel_within_the_radius(radius, voxel):
    reach = np.arange(-9, 10)
    grid = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    expected = grid[np.linalg.norm(grid * voxel, axis=1) <= radius + 1e-5]
    assert {tuple(o) for o in sphere_offsets(radius, voxel)} == {tuple(o) for o in expected}


def test_a_sphere_keeps_a_harmonic_function(device):
    shape = (24, 25, 26)
    fft = RealFFT(shape, device)
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij")
    harmonic = (x * y + z**2 - x**2 + 3 * y).astype(np.float32)
    spectrum, count = sphere_spectrum(fft, 4.0, (1, 1, 1), device)
    mean = to_numpy(fft.filter(device.asarray(harmonic), spectrum))
    inner = (slice(5, -5),) * 3
    assert count == len(sphere_offsets(4.0, (1, 1, 1)))
    assert np.abs(mean - harmonic)[inner].max() <= 1e-3


def test_a_balanced_sphere_of_oblong_voxels_keeps_harmonic_functions(device):
    shape, voxel = (24, 22, 20), (1.0, 1.2, 2.5)
    fft = RealFFT(shape, device)
    x, y, z = np.meshgrid(
        *[(np.arange(n) - n / 2) * h for n, h in zip(shape, voxel, strict=True)], indexing="ij"
    )
    harmonic = device.asarray(2 * z**2 - x**2 - y**2 + x * z - 3 * y + 1)
    sphere = sphere_spectrum(fft, 4.0, voxel, device)[0]
    inner = (slice(5, -5), slice(5, -5), slice(3, -3))
    change = [
        np.abs(to_numpy(fft.filter(harmonic, s) - harmonic)[inner]).max()
        for s in (sphere, sphere + balance_spectrum(shape, 4.0, voxel, device))
    ]
    assert change[0] > 0.1
    assert change[1] <= 1e-3
    assert np.abs(to_numpy(balance_spectrum(shape, 4.0, (1.5, 1.5, 1.5), device))).max() <= 1e-6


def test_a_domain_returns_what_it_was_given(device, rng):
    mask = np.zeros((17, 19, 13), bool)
    mask[3:12, 2:18, 5:11] = rng.random((9, 16, 6)) > 0.3
    image = np.asfortranarray(rng.standard_normal(mask.shape))
    domain = Domain.around(device.asarray(mask, bool), 5, device)
    array = domain.insert(device.asarray(image), device.asarray(mask, bool))
    assert array.shape == domain.shape
    assert all(s >= (b - a) + 5 for s, a, b in zip(domain.shape, domain.start, domain.stop, strict=True))
    assert np.array_equal(to_numpy(domain.extract(array)), np.where(mask, image.astype(np.float32), 0))


def test_rounding_of_voxel_sizes_does_not_change_a_margin():
    exact = kernel_margin((40, 40, 40), (3.0, 3.0, 3.0), 30.0)
    assert exact == (10, 10, 10)
    for edge in (3.0 * (1 - 2e-16), 3.0 * (1 + 2e-16), float(np.float32(3.0 - 2e-7))):
        assert kernel_margin((40, 40, 40), (edge, edge, edge), 30.0) == exact
    assert kernel_margin((40, 40, 40), (2.999, 3.001, 3.1), 30.0) == (11, 10, 10)


def test_bounding_box_is_tight_and_an_empty_mask_refused():
    mask = np.zeros((5, 6, 7), bool)
    with pytest.raises(InputError, match="mask is empty"):
        bounding_box(mask)
    mask[1, 2, 3] = mask[3, 2, 5] = True
    assert bounding_box(mask) == ((1, 2, 3), (4, 3, 6))

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmengine.backend.device import Device, cpu, to_numpy
from qsmengine.backend.fft import RealFFT
from qsmengine.grid import Grid
from qsmengine.ops.gaussian import GaussianMean, gaussian_response
from qsmengine.ops.gaussian import gaussian_filter as filter_

GRID = Grid.from_voxel_size((30, 26, 22), (1.0, 1.5, 2.0))


def test_response_is_that_of_a_sampled_gaussian():
    shape, sigma = (40, 36, 30), (2.0, 3.0, 4.0)
    kernel = np.ones(shape)
    for axis, (n, h, s) in enumerate(zip(shape, GRID.voxel_size, sigma, strict=True)):
        offsets = np.minimum(np.arange(n), n - np.arange(n)) * h
        kernel *= np.exp(-0.5 * (offsets / s) ** 2).reshape([-1 if a == axis else 1 for a in range(3)])
    kernel /= kernel.sum()
    fft = RealFFT(shape, cpu(1))
    spectrum = fft.forward(kernel.astype(np.float32))
    response = gaussian_response(shape, GRID.voxel_size, sigma, cpu(1))
    np.testing.assert_allclose(response, spectrum.real, atol=2e-3)


def test_mean_over_a_mask_is_that_of_a_normalised_convolution(rng, device: Device):
    mask = rng.random(GRID.shape) < 0.7
    mask[:3] = False
    image = rng.standard_normal(GRID.shape).astype(np.float32)
    widths = [2.0 / h for h in GRID.voxel_size]
    total = gaussian_filter(np.where(mask, image, 0.0), widths, mode="constant", truncate=6)
    share = gaussian_filter(mask.astype(float), widths, mode="constant", truncate=6)
    image[~mask] = np.nan
    mean = GaussianMean(device.asarray(mask, bool), GRID, (2.0, 2.0, 2.0), device)
    got = to_numpy(mean(device.asarray(image)))
    np.testing.assert_allclose(got[mask], (total / share)[mask], atol=4e-3)
    assert not got[~mask].any()


def test_constant_stays_and_an_axis_of_width_zero_is_left_alone(rng):
    mask = np.ones(GRID.shape, bool)
    constant = np.full(GRID.shape, 3.0, np.float32)
    mean = GaussianMean(mask, GRID, (3.0, 3.0, 0.0), cpu(1))
    np.testing.assert_allclose(mean(constant), 3.0, rtol=1e-5)
    image = np.zeros(GRID.shape, np.float32)
    image[:, :, 11] = rng.standard_normal(GRID.shape[:2])
    filtered = mean(image)
    assert np.abs(filtered[:, :, 11]).max() > 0.1
    assert filtered[:, :, [10, 12]] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("mirror", [True, False])
def test_filter_is_that_of_scipy_beyond_the_image_too(rng, device: Device, mirror):
    for shape in ((9, 8, 7), (3, 1, 300), (20, 5, 2)):
        image = rng.standard_normal(shape).astype(np.float32)
        widths = [2.5 / h for h in GRID.voxel_size]
        expected = gaussian_filter(image, widths, mode="reflect" if mirror else "constant")
        found = filter_(device.asarray(image), GRID.voxel_size, 2.5, device, mirror=mirror)
        np.testing.assert_allclose(to_numpy(found), expected, atol=1e-6)


def test_filter_without_width_changes_nothing(rng, device: Device):
    image = rng.standard_normal((4, 5, 6)).astype(np.float32)
    found = filter_(device.asarray(image), GRID.voxel_size, 0.0, device)
    np.testing.assert_array_equal(to_numpy(found), image)

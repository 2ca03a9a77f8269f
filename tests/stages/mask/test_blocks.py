"""Block means, masks of blocks on voxels, and Otsu's threshold, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from qsmengine.backend.device import to_numpy
from qsmengine.errors import InputError
from qsmengine.stages.mask.blocks import (
    block_factors,
    block_mean,
    block_signal,
    block_size,
    onto_voxels,
    otsu,
)

CASES = [((7, 9, 11), (2, 3, 4)), ((6, 6, 6), (3, 1, 2)), ((1, 5, 900), (2, 2, 3)), ((4, 3, 5), (1, 1, 1))]


def reference(image, factors):
    image = np.pad(image, [(0, -n % f) for n, f in zip(image.shape, factors, strict=True)], mode="edge")
    for axis, factor in enumerate(factors):
        shape = (*image.shape[:axis], -1, factor, *image.shape[axis + 1 :])
        image = image.reshape(shape).mean(axis=axis + 1)
    return image


@pytest.mark.parametrize(("shape", "factors"), CASES)
def test_means_repeat_the_last_voxel_and_take_0_for_what_is_not_finite(shape, factors, device, rng):
    image = rng.normal(size=shape).astype(np.float32)
    image[0, 1, 2:4] = np.nan, np.inf
    found = to_numpy(block_mean(device.asarray(image), factors, device))
    clean = np.where(np.isfinite(image), image, 0).astype(np.float64)
    np.testing.assert_allclose(found, reference(clean, factors), atol=1e-6)


@pytest.mark.parametrize(("shape", "factors"), CASES)
def test_mean_signal_is_that_of_complex_numbers(shape, factors, device, rng):
    magnitude, phase = rng.random(shape).astype(np.float32), rng.uniform(-3, 3, shape).astype(np.float32)
    modulus, angle = block_signal(device.asarray(magnitude), device.asarray(phase), factors, device)
    expected = reference(magnitude * np.exp(1j * phase), factors)
    np.testing.assert_allclose(to_numpy(modulus) * np.exp(1j * to_numpy(angle)), expected, atol=1e-6)


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 2, 2), (3, 3, 3), (3, 1, 4), (1, 2, 5)])
def test_mask_of_blocks_is_interpolated_linearly_and_cut_at_one_half(factors, device, rng):
    shape = (19, 17, 23)
    blocks = rng.random([-(-n // f) for n, f in zip(shape, factors, strict=True)]) > 0.5
    found = to_numpy(onto_voxels(device.asarray(blocks, bool), factors, shape, device))
    scale = 1.0 / np.asarray(factors)
    image = affine_transform(
        blocks.astype(float), np.diag(scale), (scale - 1) / 2, output_shape=shape, order=1, mode="nearest"
    )
    clear = abs(image - 0.5) > 1e-9
    np.testing.assert_array_equal(found[clear], (image >= 0.5)[clear])
    assert found[~clear].all()


def test_factors_and_sizes_of_blocks():
    assert block_factors((1.0, 0.9, 3.1), 3.0) == (3, 3, 1)
    assert block_factors((0.001, 1.0, 1.0), 1.0) == (256, 1, 1)
    assert block_size((1.0, 0.5, 3.0), (3, 6, 1)) == (3.0, 3.0, 3.0)


def test_otsu_is_that_of_a_histogram(device, rng):
    values = np.concatenate([rng.normal(1.0, 0.2, 3000), rng.normal(3.0, 0.4, 2000)]).astype(np.float32)
    counts, edges = np.histogram(values, 256, (0.0, float(np.percentile(values, 99.9))))
    centres = (edges[1:] + edges[:-1]) / 2
    best, threshold = -1.0, 0.0
    for k in range(1, 256):
        low, high = counts[:k].sum(), counts[k:].sum()
        if low and high:
            means = (counts[:k] @ centres[:k]) / low, (counts[k:] @ centres[k:]) / high
            between = low * high * (means[0] - means[1]) ** 2
            if between > best:
                best, threshold = between, edges[k]
    assert otsu(device.asarray(values), device) == pytest.approx(threshold, rel=1e-6)
    with pytest.raises(InputError, match="no voxel has signal"):
        otsu(device.asarray(values[:0]), device)

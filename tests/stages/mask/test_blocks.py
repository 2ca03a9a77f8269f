"""Block means, masks of blocks on voxels, and Otsu's threshold, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.errors import InputError
from qsmengine.stages.mask.blocks import (
    block_factors,
    block_grid,
    block_mean,
    block_signal,
    block_size,
    onto_voxels,
    otsu,
    voxel_positions,
)

CASES = [((7, 9, 11), (2, 3, 4)), ((6, 6, 6), (3, 1, 2)), ((1, 5, 900), (2, 2, 3)), ((4, 3, 5), (1, 1, 1))]


def lattice(voxels, factor):
    """The voxels of each block along an axis (block, voxel): as many before the image as after it."""
    count = -(-voxels // factor)
    if factor % 2 and (count - voxels) % 2:
        count += 1
    places = np.arange(voxels)
    if (count * factor - voxels) % 2:
        places = np.sort(np.append(places, voxels // 2))
    ends = (count * factor - len(places)) // 2
    return np.pad(places, ends, mode="edge").reshape(count, factor)


def reference(image, factors):
    for axis, factor in enumerate(factors):
        image = np.take(image, lattice(image.shape[axis], factor), axis).mean(axis=axis + 1)
    return image


@pytest.mark.parametrize(("shape", "factors"), CASES)
def test_means_repeat_the_outermost_voxels_and_take_0_for_non_finite_values(shape, factors, device, rng):
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


def at_voxels(values, voxels, factor):
    """Values of the blocks along an axis, interpolated linearly at the centres of the voxels."""
    places = lattice(voxels, factor).ravel()
    centres = [np.flatnonzero(places == v).mean() for v in range(1, voxels - 1)]
    centres = [centres[0] - 1, *centres, centres[-1] + 1]
    return np.interp((np.array(centres) - (factor - 1) / 2) / factor, np.arange(len(values)), values)


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 2, 2), (3, 3, 3), (3, 1, 4), (1, 2, 5)])
def test_mask_of_blocks_is_interpolated_linearly_and_cut_at_one_half(factors, device, rng):
    shape = (19, 17, 23)
    blocks = rng.random(block_grid(shape, factors)) > 0.5
    found = to_numpy(onto_voxels(device.asarray(blocks, bool), factors, shape, device))
    image = blocks.astype(float)
    for axis, (n, factor) in enumerate(zip(shape, factors, strict=True)):
        image = np.apply_along_axis(at_voxels, axis, image, n, factor)
    clear = abs(image - 0.5) > 1e-9
    np.testing.assert_array_equal(found[clear], (image >= 0.5)[clear])
    assert found[~clear].all()


@pytest.mark.parametrize(("shape", "factors"), CASES)
def test_blocks_of_a_flipped_image_are_flipped(shape, factors, device, rng):
    image = rng.normal(size=shape).astype(np.float32)
    found = to_numpy(block_mean(device.asarray(np.flip(image)), factors, device))
    np.testing.assert_allclose(
        np.flip(found), to_numpy(block_mean(device.asarray(image), factors, device)), atol=1e-6
    )
    blocks = rng.random(found.shape) > 0.5
    spread = to_numpy(onto_voxels(device.asarray(np.flip(blocks), bool), factors, shape, device))
    np.testing.assert_array_equal(
        np.flip(spread), to_numpy(onto_voxels(device.asarray(blocks, bool), factors, shape, device))
    )


@pytest.mark.parametrize(("shape", "factors"), CASES)
def test_blocks_lie_where_their_voxels_do(shape, factors):
    for axis, (n, factor) in enumerate(zip(shape, factors, strict=True)):
        blocks = lattice(n, factor)
        inner = [b for b in range(len(blocks)) if len(set(blocks[b])) == factor]
        places = np.zeros((len(inner), 3))
        places[:, axis] = inner
        found = voxel_positions(places, shape, factors)[:, axis]
        np.testing.assert_allclose(found, blocks[inner].mean(axis=1))


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

import numpy as np
import pytest

from qsmengine.grid import Grid
from qsmengine.phantom.resample import Resampler


def source_grid(shape):
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (-7.0, 3.0, 11.0)
    return Grid(shape, affine)


@pytest.mark.parametrize("voxel_size", [(2.0, 3.0, 4.0), (1.5, 0.75, 1.2)])
def test_average_is_the_mean_over_the_target_box(voxel_size, rng):
    image = rng.random((12, 13, 11), dtype=np.float32)
    resampler = Resampler(source_grid(image.shape), voxel_size)
    average = resampler.average(image)
    fine = 20
    target = tuple(rng.integers(0, n - 1) for n in resampler.shape)
    samples = [
        (i + (np.arange(fine * 3) + 0.5) / (fine * 3)) * h for i, h in zip(target, voxel_size, strict=True)
    ]
    values = image[np.ix_(*(np.floor(s).astype(int) for s in samples))]
    assert average.shape == resampler.shape
    assert average[target] == pytest.approx(values.mean(), abs=2e-6)


def test_amount_is_kept_and_the_outside_counts_as_zero(rng):
    image = rng.random((10, 9, 7), dtype=np.float32)
    resampler = Resampler(source_grid(image.shape), (3.0, 1.7, 2.5))
    volume = 3.0 * 1.7 * 2.5
    assert resampler.average(image).sum(dtype=float) * volume == pytest.approx(image.sum(dtype=float), rel=1e-6)


def test_corner_of_the_first_voxel_stays_in_place():
    resampler = Resampler(source_grid((8, 8, 8)), (2.0, 0.5, 3.0))
    corner = resampler.affine @ [-0.5, -0.5, -0.5, 1.0]
    np.testing.assert_allclose(corner[:3], [-7.5, 2.5, 10.5])
    assert Grid(resampler.shape, resampler.affine).voxel_size == pytest.approx((2.0, 0.5, 3.0))


def test_majority_is_the_mode_of_each_block(rng):
    index = rng.integers(0, 4, size=(8, 6, 9)).astype(np.uint8)
    found = Resampler(source_grid(index.shape), (2.0, 3.0, 3.0)).majority(index)
    for place in np.ndindex(found.shape):
        block = index[tuple(slice(p * n, (p + 1) * n) for p, n in zip(place, (2, 3, 3), strict=True))]
        assert found[place] == np.bincount(block.ravel()).argmax()


def test_majority_on_smaller_voxels_takes_the_nearest(rng):
    index = rng.integers(0, 5, size=(4, 5, 6)).astype(np.uint8)
    found = Resampler(source_grid(index.shape), (0.5, 1.0, 1.0)).majority(index)
    np.testing.assert_array_equal(found, index.repeat(2, axis=0))

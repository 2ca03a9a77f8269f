import numpy as np
import pytest
from scipy import ndimage

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.errors import InputError
from qsmengine.stages.inference.tfce import TfceParams, enhance, maxima, neighbourhood, tfce


def brute_force(statistic, mask, extent, height, connectivity):
    """The integral over every height that occurs, with a labelling at each."""
    structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    out = np.zeros(statistic.shape)
    for sign in (1, -1):
        v = np.where(mask, sign * statistic.astype(np.float64), 0.0)
        below = 0.0
        for h in np.unique(v[v > 0]):
            labels, _ = ndimage.label(v >= h, structure)
            sizes = np.bincount(labels.ravel()).astype(float)
            share = (h ** (height + 1) - below ** (height + 1)) / (height + 1)
            out += np.where(labels > 0, sign * sizes[labels] ** extent * share, 0.0)
            below = h
    return out


def smooth(rng, shape, sigma=1.0):
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    return (3 * noise / noise.std()).astype(np.float32)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize(("extent", "height"), [(0.5, 2.0), (1.0, 0.0), (0.7, 1.3)])
def test_it_equals_brute_force(rng, device, connectivity, extent, height):
    mask = rng.random((9, 8, 11)) > 0.2
    params = TfceParams(extent=extent, height=height, connectivity=connectivity)
    for statistic in (smooth(rng, mask.shape), rng.standard_normal(mask.shape).astype(np.float32)):
        found = to_numpy(tfce(device.asarray(statistic), device.asarray(mask, bool), params, device=device))
        expected = brute_force(statistic, mask, extent, height, connectivity)
        assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())
        assert (found[~mask] == 0).all()


def test_equal_heights_are_one_level(rng):
    mask = np.ones((7, 7, 7), bool)
    statistic = np.round(smooth(rng, mask.shape)).astype(np.float32)
    found = tfce(statistic, mask, TfceParams(), device=cpu(1))
    expected = brute_force(statistic, mask, 0.5, 2.0, 6)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert len(np.unique(statistic)) < 30


def test_a_plateau_alone_has_the_value_of_the_formula():
    statistic = np.zeros((5, 5, 5), np.float32)
    statistic[1:3, 1:3, 1:4] = 2.0
    statistic[4, 4, 4] = -3.0
    found = tfce(statistic, np.ones_like(statistic, bool), TfceParams(), device=cpu(1))
    assert found[1, 1, 1] == pytest.approx(np.sqrt(12) * 8 / 3)
    assert found[4, 4, 4] == pytest.approx(-9.0)
    assert np.count_nonzero(found) == 13


def test_the_border_of_the_volume_does_not_wrap():
    statistic = np.zeros((4, 4, 4), np.float32)
    statistic[0, 0, 3] = statistic[0, 1, 0] = statistic[3, 3, 3] = 1.0
    found = tfce(statistic, np.ones_like(statistic, bool), TfceParams(connectivity=6), device=cpu(1))
    assert found[0, 0, 3] == found[0, 1, 0] == found[3, 3, 3] == np.float32(1 / 3)


def test_maxima_are_those_of_the_maps_for_any_number_of_threads(rng):
    mask = rng.random((12, 10, 9)) > 0.3
    around = neighbourhood(mask, 18)
    maps = np.stack([smooth(rng, mask.shape)[mask] for _ in range(7)])
    one = enhance(maps, around, TfceParams(connectivity=18), 1)
    np.testing.assert_array_equal(enhance(maps, around, TfceParams(connectivity=18), 3), one)
    found = maxima(maps, around, TfceParams(connectivity=18), 2)
    np.testing.assert_array_equal(found, np.stack([one.max(axis=1), -one.min(axis=1)], axis=1))


def test_scaling_the_statistic_scales_by_its_cube(rng):
    statistic = smooth(rng, (8, 8, 8))
    mask = np.ones(statistic.shape, bool)
    one, two = (tfce(f * statistic, mask, TfceParams(), device=cpu(1)) for f in (np.float32(1), np.float32(2)))
    np.testing.assert_allclose(two, 8 * one, rtol=1e-5)


def test_wrong_input_is_refused(rng):
    statistic = smooth(rng, (4, 4, 4))
    with pytest.raises(InputError, match="mask is empty"):
        tfce(statistic, np.zeros((4, 4, 4), bool), TfceParams(), device=cpu(1))
    with pytest.raises(InputError, match=r"\(4, 4, 4\) and mask \(4, 4, 5\) differ"):
        tfce(statistic, np.ones((4, 4, 5), bool), TfceParams(), device=cpu(1))
    statistic[1, 1, 1] = np.nan
    with pytest.raises(InputError, match="not all values inside the mask are finite"):
        tfce(statistic, np.ones((4, 4, 4), bool), TfceParams(), device=cpu(1))

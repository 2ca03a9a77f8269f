from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import ndimage

from qsmengine.backend.device import cpu
from qsmengine.errors import InputError
from qsmengine.stages.inference.permutation import PermutationParams, permutation_test
from qsmengine.stages.inference.tfce import TfceParams, tfce

SHAPE = (7, 8, 6)


def cohort(rng, n=24, shape=SHAPE, effect=0.0):
    """Smooth maps, groups that differ in age, an age effect everywhere, a group effect in one corner."""
    mask = np.ones(shape, bool)
    mask[-1] = False
    group = np.arange(n) % 2 * 1.0
    age = rng.uniform(20, 70, n) + 6 * group
    maps = np.stack([ndimage.gaussian_filter(rng.standard_normal(shape), 0.8) for _ in range(n)])
    maps += 0.02 * age[:, None, None, None]
    maps[:, :3, :3, :3] += effect * group[:, None, None, None]
    return maps[:, mask].astype(np.float32), mask, group, age[:, None]


def test_t_is_that_of_least_squares(rng, device):
    maps, mask, group, age = cohort(rng)
    params = PermutationParams(permutations=3)
    result = permutation_test(maps, mask, group, age, params, device=device)
    design = np.column_stack([np.ones(24), group, age])
    expected = [sm.OLS(maps[:, v].astype(float), design).fit().tvalues[1] for v in range(0, maps.shape[1], 17)]
    np.testing.assert_allclose(result.t[mask][::17], expected, rtol=2e-4, atol=2e-4)
    assert result.df == 21
    enhanced = tfce(result.t, mask, TfceParams(), device=cpu(1))
    np.testing.assert_allclose(result.tfce, enhanced, rtol=1e-6)


def test_permutations_are_those_of_freedman_and_lane(rng):
    maps, mask, group, age = cohort(rng)
    params = PermutationParams(permutations=4, seed=9)
    result = permutation_test(maps, mask, group, age, params, device=cpu(2))
    nuisance = np.column_stack([np.ones(24), age])
    design = np.column_stack([group, nuisance])
    fitted = nuisance @ np.linalg.lstsq(nuisance, maps.astype(float), rcond=None)[0]
    generator = np.random.default_rng(9)
    for i in range(4):
        order = generator.permutation(24)
        y = fitted + (maps - fitted)[order]
        b, ssr, *_ = np.linalg.lstsq(design, y, rcond=None)
        se = np.sqrt(ssr / 21 * np.linalg.inv(design.T @ design)[0, 0])
        t = np.zeros(mask.shape, np.float32)
        t[mask] = b[0] / se
        assert result.null_t[i + 1] == pytest.approx(np.abs(t).max(), rel=1e-3)
        enhanced = np.abs(tfce(t, mask, TfceParams(), device=cpu(1))).max()
        assert result.null_tfce[i + 1] == pytest.approx(enhanced, rel=3e-3)


def test_p_counts_the_permutations_that_reach_the_value(rng):
    maps, mask, group, age = cohort(rng, effect=1.2)
    result = permutation_test(maps, mask, group, age, PermutationParams(permutations=199), device=cpu(2))
    for v in (0, 40, 150):
        value = abs(result.tfce[mask][v])
        assert result.p_tfce[mask][v] == pytest.approx(np.mean(result.null_tfce >= value))
    assert result.null_tfce[0] == pytest.approx(np.abs(result.tfce).max())
    assert result.p_tfce.min() == pytest.approx(1 / 200)
    assert (result.p_tfce[~mask] == 1).all()
    assert result.p_tfce[1, 1, 1] < 0.05
    assert result.p_tfce[5, 7, 5] > 0.05


def test_one_sided_tests_find_one_sign(rng):
    maps, mask, group, age = cohort(rng, effect=-1.5)
    one = PermutationParams(permutations=99, two_sided=False)
    assert permutation_test(maps, mask, group, age, one, device=cpu(1)).p_tfce[1, 1, 1] > 0.5
    assert permutation_test(maps, mask, -group, age, one, device=cpu(1)).p_tfce[1, 1, 1] < 0.05


def test_family_wise_error_is_held_with_a_nuisance_variable(rng):
    found = 0
    for i in range(150):
        maps, mask, group, age = cohort(rng, n=16, shape=(6, 6, 5))
        params = PermutationParams(permutations=59, seed=i)
        found += permutation_test(maps, mask, group, age, params, device=cpu(1)).p_tfce.min() <= 0.05
    assert 1 <= found <= 17  # 99.9 % of a binomial distribution with 5 %


def test_the_same_seed_gives_the_same_result_on_any_number_of_threads(rng):
    maps, mask, group, age = cohort(rng)
    runs = []
    for threads in (1, 2, 2):
        params = PermutationParams(permutations=41, seed=3)
        runs.append(permutation_test(maps, mask, group, age, params, device=cpu(threads)))
    np.testing.assert_array_equal(runs[1].null_tfce, runs[2].null_tfce)
    np.testing.assert_allclose(runs[0].null_tfce, runs[1].null_tfce, rtol=1e-4)
    other = permutation_test(maps, mask, group, age, PermutationParams(permutations=41), device=cpu(1))
    assert not np.array_equal(other.null_tfce, runs[0].null_tfce)


def test_progress_ends_at_one_and_a_constant_voxel_has_no_effect(rng):
    maps, mask, group, age = cohort(rng)
    maps[:, 5] = 0.0
    seen: list[Any] = []
    params = PermutationParams(permutations=100)
    result = permutation_test(maps, mask, group, age, params, device=cpu(1), progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert result.t[mask][5] == 0
    assert result.p_tfce[mask][5] == 1


def test_what_cannot_be_tested_is_refused(rng):
    maps, mask, group, age = cohort(rng)
    params = PermutationParams(permutations=2)
    with pytest.raises(InputError, match="constant or determined"):
        permutation_test(maps, mask, age[:, 0] * 2 + 1, age, params, device=cpu(1))
    with pytest.raises(InputError, match=r"maps have 10 voxels, the mask \d+"):
        permutation_test(maps[:, :10], mask, group, age, params, device=cpu(1))
    with pytest.raises(InputError, match="too few for 3 columns"):
        permutation_test(maps[:4], mask, group[:4], age[:4], params, device=cpu(1))
    bad = maps.copy()
    bad[3, 3] = np.nan
    with pytest.raises(InputError, match="not all values inside the mask are finite"):
        permutation_test(bad, mask, group, age, params, device=cpu(1))

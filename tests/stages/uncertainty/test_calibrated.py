"""Intervals of chi: coverage on a drawn head, and what they depend on."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError, UsageError
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.ops.morphology import without_layer
from qsmengine.phantom.head import virtual_head
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.uncertainty.calibrated import CalibratedParams, calibrated, half_width
from qsmengine.stages.uncertainty.calibration import LEVELS, LOCAL, load_calibration, load_region_calibration
from qsmengine.stages.uncertainty.causes import NAMES, error_causes
from tests.stages.gre import DEVICE


@pytest.fixture(scope="module")
def scan():
    """Head of 3 mm voxels, its series, and its maps by the default preset."""
    head = virtual_head(voxel_size=(3.0, 3.0, 3.0), seed=21, snr=100.0)
    result = run_qsm(head.gre, load_config(settings=["uncertainty=calibrated"]), DEVICE, mask=head.mask)
    return head, result


def inputs(scan):
    head, result = scan
    maps = [result[name] for name in ("chi", "total_field", "noise", "local_mask")]
    return {
        "chi": maps[0], "total_field": maps[1], "noise": maps[2], "mask": maps[3],
        "magnitude": np.asarray(head.gre.magnitude),
    }  # fmt: skip


def intervals(scan, **changes):
    head, _ = scan
    return calibrated(**{**inputs(scan), **changes}, grid=head.grid, params=CalibratedParams(), device=DEVICE)


def test_intervals_contain_the_truth_about_as_often_as_they_say(scan):
    head, result = scan
    inside = result.mask & head.mask
    truth = head.truth["chi"].array
    error = np.abs((result.chi - result.chi[inside].mean()) - (truth - truth[inside].mean()))
    surface = inside & ~without_layer(without_layer(inside))
    for where in (inside, surface, inside & ~surface):
        assert 0.5 < (error <= result["chi_ci68"])[where].mean() < 0.88
        assert (error <= result["chi_ci95"])[where].mean() > 0.86


def test_intervals_are_finite_positive_inside_and_zero_outside(scan):
    _, result = scan
    inside = result.mask
    narrow, wide = result["chi_ci68"], result["chi_ci95"]
    assert np.isfinite(narrow).all()
    assert (narrow[inside] > 0).all()
    assert (wide >= narrow).all()
    assert not narrow[~inside].any()
    assert not wide[~inside].any()


def test_intervals_are_wider_at_the_rim_and_follow_the_errors(scan):
    head, result = scan
    inside, width = result.mask, result["chi_ci68"]
    layers = [inside]
    for _ in range(6):
        layers.append(without_layer(layers[-1]))
    rim, deep = layers[1] & ~layers[3], layers[6]
    assert np.median(width[rim]) > 1.2 * np.median(width[deep])
    error = np.abs(result.chi - head.truth["chi"].array)[inside]
    narrow = width[inside] < np.median(width[inside])
    assert error[~narrow].mean() > 1.2 * error[narrow].mean()


def test_more_noise_widens_the_intervals_and_a_new_reference_does_not(scan):
    plain = intervals(scan)
    given = inputs(scan)
    inside = given["mask"]
    noisy = intervals(scan, noise=3 * given["noise"])
    assert (noisy.chi_ci68[inside] > plain.chi_ci68[inside]).all()
    shifted = intervals(scan, chi=(given["chi"] + np.float32(0.02)) * inside)
    ratio = shifted.chi_ci68[inside] / plain.chi_ci68[inside]
    assert np.median(np.abs(ratio - 1)) < 0.02


def test_the_unit_of_the_magnitude_and_values_outside_the_mask_do_not_matter(scan):
    plain, given = intervals(scan), inputs(scan)
    outside = ~given["mask"]
    changed = intervals(
        scan,
        magnitude=250 * given["magnitude"],
        chi=np.where(outside, 7, given["chi"]).astype(np.float32),
        total_field=np.where(outside, -3, given["total_field"]).astype(np.float32),
    )
    for before, after in zip(plain, changed, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-6)


def test_a_harmonic_field_is_no_misfit(scan):
    head, _ = scan
    given = inputs(scan)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in head.grid.shape), indexing="ij")
    nx, ny = ((n - 1) / 2 for n in head.grid.shape[:2])
    harmonic = (x * x * nx**2 - y * y * ny**2) / nx**2 + z  # voxels are cubes
    maps = [
        error_causes(
            given["chi"], (given["total_field"] + added).astype(np.float32), given["noise"], given["mask"],
            given["magnitude"], head.grid, DEVICE,
        )["misfit"]
        for added in (0, 0.3 * harmonic)
    ]  # fmt: skip
    np.testing.assert_allclose(maps[1], maps[0], rtol=1e-2, atol=1e-6)


def test_fluid_is_known_better_than_tissue(scan):
    head, _ = scan
    given = inputs(scan)
    causes = error_causes(**given, grid=head.grid, device=DEVICE)
    ventricles = np.isin(head.labels, (4, 43)) & given["mask"]
    white = np.isin(head.labels, (2, 41)) & given["mask"]
    assert causes["tissue"][ventricles].mean() < 0.6
    assert causes["tissue"][white].mean() > 0.9
    unknown = error_causes(**{**given, "magnitude": None}, grid=head.grid, device=DEVICE)["tissue"]
    assert (unknown[given["mask"]] == 1).all()


def test_half_width_is_the_root_of_the_sum_of_weighted_squares():
    rng = np.random.default_rng(3)
    causes = {name: rng.random((3, 4, 5)).astype(np.float32) for name in NAMES}
    weights = dict(zip(NAMES, rng.random(len(NAMES)).tolist(), strict=True))
    expected = np.sqrt(sum((weights[name] * causes[name].astype(float)) ** 2 for name in NAMES))
    np.testing.assert_allclose(half_width(causes, weights), expected, rtol=1e-5)


def test_every_calibration_weighs_the_causes_at_both_levels():
    for name in ("tfi", "tfi-one-echo", "weak_harmonic", "weak_harmonic-one-echo"):
        chain = load_calibration(name)
        assert set(chain) == set(LEVELS)
        for weights in chain.values():
            assert set(weights) == set(NAMES)
            assert all(weight >= 0 for weight in weights.values())
            assert max(weights.values()) > 0


def test_intervals_of_regions_keep_less_of_local_errors_in_deep_grey_matter(scan):
    head, result = scan
    inside = result.mask & head.mask
    truth = head.truth["chi"].array
    error = (result.chi - result.chi[inside].mean()) - (truth - truth[inside].mean())
    within = []
    for label in (10, 11, 12, 13, 49, 50, 51, 52):
        here = (head.labels == label) & inside
        narrow, wide = (result[f"chi_region_ci{level}"][here].mean() for level in LEVELS)
        assert narrow < wide < result["chi_ci95"][here].mean()
        within.append(abs(error[here].mean()) <= wide)
    assert np.mean(within) >= 0.75
    assert not result["chi_region_ci95"][~result.mask].any()


def test_every_calibration_of_regions_has_shares_of_its_voxels_weights():
    for name in ("tfi", "tfi-one-echo", "weak_harmonic", "weak_harmonic-one-echo"):
        voxels, regions = load_calibration(name), load_region_calibration(name)
        for level in LEVELS:
            ratios = {k: regions[level][k] / w for k, w in voxels[level].items() if w > 0}
            for group in (LOCAL, set(NAMES) - LOCAL):
                shares = [ratio for cause, ratio in ratios.items() if cause in group]
                np.testing.assert_allclose(shares, shares[0])
                assert 0 <= shares[0] < 3


def test_unknown_calibrations_and_noise_known_nowhere_are_refused(scan):
    head, _ = scan
    with pytest.raises(UsageError, match="no calibration for tkd, only for tfi"):
        calibrated(**inputs(scan), grid=head.grid, params=CalibratedParams(calibration="tkd"), device=DEVICE)
    with pytest.raises(InputError, match="noise is unknown everywhere"):
        intervals(scan, noise=np.zeros(head.grid.shape, np.float32))

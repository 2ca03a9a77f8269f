from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import linregress, pearsonr

from qsmengine.errors import InputError
from qsmengine.stages import metrics

SHAPE = (17, 19, 15)


@pytest.fixture
def maps():
    """Truth, estimate with noise and another scale, mask that touches the border of the image."""
    rng = np.random.default_rng(3)
    truth = 0.5 * gaussian_filter(rng.normal(size=SHAPE), 1.0)
    estimate = (0.8 * truth + 0.02 + 0.02 * rng.normal(size=SHAPE)).astype(np.float32)
    mask = np.zeros(SHAPE, bool)
    mask[:12, 3:15, 2:] = True
    return truth, estimate, mask


def test_nrmse_is_the_residual_sd_over_the_truths_sd(maps):
    truth, estimate, mask = maps
    expected = 100 * np.std((estimate - truth)[mask]) / np.std(truth[mask])
    assert metrics.nrmse(estimate, truth, mask) == pytest.approx(expected, rel=1e-9)


def test_detrending_removes_the_regression_line(maps):
    truth, estimate, mask = maps
    line = linregress(truth[mask], estimate[mask])
    corrected = (estimate - line.intercept) / line.slope
    expected = 100 * np.std((corrected - truth)[mask]) / np.std(truth[mask])
    score = metrics.nrmse_detrend(estimate, truth, mask)
    assert score == pytest.approx(expected, rel=1e-6)
    assert score == pytest.approx(100 * math.sqrt(1 / line.rvalue**2 - 1), rel=1e-6)


def test_correlation_is_pearsons(maps):
    truth, estimate, mask = maps
    expected = pearsonr(truth[mask], estimate[mask]).statistic
    assert metrics.correlation(estimate, truth, mask) == pytest.approx(expected, rel=1e-6)


def similarity(e, t, at):
    box = tuple(slice(max(i - 2, 0), i + 3) for i in at)
    a, b = e[box].astype(float), t[box]
    covariance = np.mean(a * b) - a.mean() * b.mean()
    return ((2 * a.mean() * b.mean() + 1e-4) * (2 * covariance + 1e-6)) / (
        (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var() + b.var() + 1e-6)
    )


def test_xsim_is_the_mean_similarity_of_boxes_cut_off_at_the_border(maps):
    truth, estimate, mask = maps
    expected = np.mean([similarity(estimate, truth, at) for at in np.argwhere(mask)])
    assert metrics.xsim(estimate, truth, mask) == pytest.approx(expected, rel=1e-7)


def laplacian_of_gaussian(values, sigma=1.5, reach=8):
    """By a direct sum over the mirrored image."""
    r = np.arange(-reach, reach + 1)
    g = np.exp(-(r**2) / (2 * sigma**2))
    g /= g.sum()
    second = (r**2 / sigma**4 - 1 / sigma**2) * g
    padded = np.pad(values.astype(float), reach, mode="symmetric")
    total = np.zeros(values.shape)
    for axis in range(3):
        part = padded
        for other in range(3):
            taps = second if other == axis else g
            part = np.apply_along_axis(np.convolve, other, part, taps, mode="valid")
        total = total + part
    return total


def test_hfen_compares_laplacians_of_gaussians(maps):
    truth, estimate, mask = maps
    e, t = laplacian_of_gaussian(estimate), laplacian_of_gaussian(truth)
    expected = 100 * np.linalg.norm((e - t)[mask]) / np.linalg.norm(t[mask])
    assert metrics.hfen(estimate, truth, mask) == pytest.approx(expected, rel=1e-6)


def test_a_perfect_map_scores_perfectly(maps):
    truth, _, mask = maps
    result = metrics.evaluate(truth + 0.0, truth, mask, 1.0, labels=np.ones(SHAPE, int))
    for part in (result.scored, result.whole):
        assert part.nrmse == part.hfen == 0
        assert part.nrmse_detrend < 1e-9
        assert part.correlation == pytest.approx(1, abs=1e-12)
        assert part.xsim == pytest.approx(1, abs=1e-12)
    assert result.dgm_slope is None


def test_zeros_are_errors_in_the_whole_mask_and_left_out_where_scored(maps):
    truth, estimate, mask = maps
    eroded = estimate * (np.arange(SHAPE[0]) > 3)[:, None, None]
    result = metrics.evaluate(eroded, truth, mask, 2.0)
    kept = mask & (eroded != 0)
    assert result.scored.volume == 2.0 * kept.sum()
    assert result.whole.volume == 2.0 * mask.sum()
    assert result.scored.nrmse == pytest.approx(metrics.nrmse(estimate, truth, kept))
    assert result.whole.nrmse == pytest.approx(metrics.nrmse(eroded, truth, mask))
    assert result.whole.nrmse > 1.2 * result.scored.nrmse


def test_cutting_out_the_mask_changes_no_score():
    rng = np.random.default_rng(9)
    truth = 0.1 * gaussian_filter(rng.normal(size=(50, 44, 40)), 1.0)
    estimate = truth + 0.01 * rng.normal(size=truth.shape)
    mask = np.zeros(truth.shape, bool)
    mask[20:30, 5:20, 18:] = True
    whole = metrics.evaluate(estimate, truth, mask, 1.0).whole
    for name, value in metrics.scores(estimate, truth, mask, 1.0)._asdict().items():
        assert getattr(whole, name) == pytest.approx(value, rel=1e-9), name


def test_slope_of_region_means():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 9, SHAPE)
    truth = 0.02 * labels.astype(float)
    estimate = 0.85 * truth + 0.3 * (labels > 6)
    assert metrics.dgm_slope(estimate, truth, labels) == pytest.approx(0.85)
    assert metrics.dgm_slope(estimate, truth, labels, (7, 8)) == pytest.approx(0.85)
    assert metrics.dgm_slope(estimate, truth, labels, (1, 6, 40)) == pytest.approx(0.85)
    assert metrics.dgm_slope(estimate, truth, labels, (1, 40)) is None
    assert metrics.dgm_slope(estimate, 0 * truth, labels) is None


def test_a_constant_estimate_scores_as_nothing_done(maps):
    truth, _, mask = maps
    scored = metrics.evaluate(np.full(SHAPE, 0.3), truth, mask, 1.0).scored
    assert scored.nrmse == scored.nrmse_detrend == pytest.approx(100, rel=1e-6)
    assert scored.correlation == pytest.approx(0, abs=1e-9)


def test_what_lies_outside_the_mask_may_be_no_number(maps):
    truth, estimate, mask = maps
    zeroed = metrics.evaluate(np.where(mask, estimate, 0), np.where(mask, truth, 0), mask, 1.0)
    empty = metrics.evaluate(np.where(mask, estimate, np.nan), np.where(mask, truth, np.inf), mask, 1.0)
    assert empty == zeroed


def test_bad_input_is_named(maps):
    truth, estimate, mask = maps
    bad = estimate.copy()
    bad[5, 5, 5] = np.nan
    for field, arguments in {
        "estimate: no finite number in 1 voxels": (bad, truth, mask),
        "estimate: is 0 in the whole mask": (0 * estimate, truth, mask),
        "truth: is constant": (estimate, 0 * truth, mask),
        "truth has shape": (estimate, truth[1:], mask),
        "mask: the mask is empty": (estimate, truth, 0 * mask),
    }.items():
        with pytest.raises(InputError, match=field):
            metrics.evaluate(*arguments, 1.0)

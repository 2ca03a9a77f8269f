"""Fit of the intervals of chi, and the tables that judge them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bench.accuracy.people import DEVELOPMENT, HELD_OUT
from bench.accuracy.scenarios import BASE
from bench.uncertainty.command import write_calibration
from bench.uncertainty.document import document
from bench.uncertainty.fit import quantile_weights, region_shares
from bench.uncertainty.jobs import Job, jobs_of
from bench.uncertainty.report import (
    coverage_table,
    rank_correlation,
    region_ratios,
    region_table,
    sparsification,
    widths_of,
)
from bench.uncertainty.samples import Sample
from qsmengine.errors import UsageError
from qsmengine.stages.uncertainty.calibration import region_coefficients
from qsmengine.stages.uncertainty.causes import NAMES
from tools.markdown import ROOT

MACHINE = {"date": "2030-01-02T03:04", "qsmengine": "1", "commit": "abc"}


def drawn(seed, voxels=20000):
    """Voxels whose errors follow a normal distribution of width 2 noise + 0.01 tissue, summed in squares."""
    rng = np.random.default_rng(seed)
    causes = np.zeros((voxels, len(NAMES)))
    causes[:, NAMES.index("tissue")] = 1
    causes[:, NAMES.index("noise")] = rng.gamma(2, 0.005, voxels)
    width = np.hypot(2 * causes[:, NAMES.index("noise")], 0.01)
    error = width * rng.standard_normal(voxels)
    layer = rng.integers(1, 12, voxels).astype(np.int32)
    label = rng.integers(1, 60, voxels).astype(np.int32)
    return Sample(Job("tfi", "accurate", BASE, seed), error, causes, layer, label, 8.0)


def test_fitted_intervals_contain_the_share_of_new_errors():
    fitted, new = drawn(1), drawn(2)
    for share in (0.68, 0.95):
        weights = quantile_weights(fitted.causes, np.abs(fitted.error), share)
        widths = np.sqrt(((new.causes * weights) ** 2).sum(axis=1))
        for first, last in ((0, 0.005), (0.005, 0.02), (0.02, 1)):
            noise = new.causes[:, NAMES.index("noise")]
            here = (noise >= first) & (noise < last)
            assert (np.abs(new.error) <= widths)[here].mean() == pytest.approx(share, abs=0.04)


def test_the_file_keeps_chains_that_were_not_fitted_again(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"chains": {"other": {}}, "regions": {"other": {}}}))
    write_calibration([drawn(3, 3000)], path)
    content = json.loads(path.read_text())
    assert set(content["chains"]) == set(content["regions"]) == {"other", "tfi"}
    assert set(content["chains"]["tfi"]) == {"68", "95"}
    assert set(content["chains"]["tfi"]["68"]) == set(NAMES)
    assert set(content["regions"]["tfi"]["95"]) == {"smooth", "local"}
    assert "--fit" in content["command"]


def test_coverage_counts_voxels_within_the_interval_by_layer():
    sample = drawn(4)
    sample = sample.part(sample.layer <= 2)
    widths = {68: np.where(sample.layer == 1, 1e9, 0.0), 95: np.full(len(sample.error), 1e9)}
    table = coverage_table([sample], [widths]).splitlines()
    cells = [cell.strip() for cell in table[2].split("|")[2:-1]]
    assert cells[:3] == ["100 / 100", "0 / 100", "n/a"]
    assert table[2].split("|")[2:] == table[3].split("|")[2:]


def test_a_better_order_has_more_correlation_and_sparsification():
    rng = np.random.default_rng(5)
    width = rng.gamma(2, 1, 5000)
    error = np.abs(width * rng.standard_normal(5000))
    assert sparsification(error, error) == pytest.approx(1)
    assert abs(sparsification(error, rng.random(5000))) < 0.1
    assert 0.3 < sparsification(error, width) < 0.95
    assert rank_correlation(error, width) > 0.3 > abs(rank_correlation(error, rng.random(5000)))


def test_errors_of_one_sign_make_the_mean_of_a_region_as_uncertain_as_a_voxel():
    sample = drawn(6)
    constant = sample.part(sample.label == 10)
    constant.error[:] = 0.02
    weights = dict.fromkeys(NAMES, 0.0) | {"tissue": 0.01}
    assert region_ratios(constant, {68: weights, 95: weights}) == pytest.approx({68: 2.0, 95: 2.0})


def with_structures(seed, structures=60, voxels=400):
    """Voxels whose errors are an offset of each structure, 4 ppb SD, and noise where "edge" is large."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(1, structures + 1), voxels).astype(np.int32)
    causes = np.zeros((len(label), len(NAMES)))
    causes[:, NAMES.index("tissue")] = 1
    causes[:, NAMES.index("edge")] = np.repeat(rng.gamma(2, 2, structures), voxels)
    offset = 0.004 * rng.standard_normal(structures)
    error = offset[label - 1] + 0.01 * causes[:, NAMES.index("edge")] * rng.standard_normal(len(label))
    return replace(drawn(seed, len(label)), error=error, causes=causes, label=label)


def test_errors_that_average_out_do_not_widen_the_intervals_of_regions():
    weights = dict.fromkeys(NAMES, 0.0) | {"tissue": 0.008, "edge": 0.01}
    fitted = [with_structures(seed) for seed in range(4)]
    shares = region_shares(fitted, dict.fromkeys((68, 95), weights))
    assert all(share["local"] < 0.15 for share in shares.values())
    assert shares["68"]["smooth"] == pytest.approx(0.5, rel=0.2)
    assert shares["95"]["smooth"] == pytest.approx(0.98, rel=0.2)
    found = {level: region_coefficients(weights, **shares[str(level)]) for level in (68, 95)}
    rows = region_table([with_structures(seed) for seed in range(9, 13)], found).splitlines()
    row = next(line for line in rows if line.startswith("| all structures"))
    narrow, wide = (int(part) for part in row.split("|")[3].split("/"))
    assert abs(narrow - 68) <= 8
    assert abs(wide - 95) <= 4


def test_fits_use_development_heads_and_reports_held_out_heads():
    for role, heads in (("development", tuple(DEVELOPMENT)), ("held-out", tuple(HELD_OUT))):
        jobs = jobs_of(role, heads, 2.0)
        assert {job.subject for job in jobs} <= set(heads)
        assert {job.calibration for job in jobs} == {
            "tfi", "tfi-one-echo", "weak_harmonic", "weak_harmonic-one-echo"
        }  # fmt: skip
    with pytest.raises(UsageError, match="development heads are needed; 3 given"):
        jobs_of("development", (1, 3), 2.0)


def test_committed_page_has_the_text_of_the_program():
    found = document([drawn(7, 4000)], MACHINE)
    text = (ROOT / "docs" / "uncertainty.md").read_text("utf-8")
    before = found.split("the tables show")[0]
    assert text.startswith(before)
    assert "| **mean** |" in text


def test_widths_are_those_of_the_method():
    sample = drawn(8, 500)
    weights = {68: dict.fromkeys(NAMES, 0.5), 95: dict.fromkeys(NAMES, 0.1)}
    widths = widths_of(sample, weights)
    np.testing.assert_allclose(widths[68], 0.5 * np.linalg.norm(sample.causes, axis=1), rtol=1e-6)
    np.testing.assert_array_equal(widths[95], widths[68])

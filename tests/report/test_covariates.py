"""Outliers are sought after age, sex, site and scanner are adjusted for, robustly."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.report.covariates import Covariates, read_covariates
from qsmengine.report.distribution import spread_of

COUNT = 60
KEYS = [f"sub-{number:02d}" for number in range(COUNT)]


@pytest.fixture
def ages():
    return np.random.default_rng(2).integers(20, 80, COUNT)


@pytest.fixture
def out(tmp_path, ages):
    rows = [f"{key}\t{age}\t{'FM'[k % 2]}\tn/a" for k, (key, age) in enumerate(zip(KEYS, ages, strict=True))]
    (tmp_path / "participants.tsv").write_text("\n".join(["participant_id\tage\tsex\tsite", *rows]) + "\n")
    return tmp_path


def test_a_value_that_its_age_explains_is_no_outlier_and_a_hidden_one_is_found(out, ages, rng):
    slope = 0.01 * (ages - 50) + rng.normal(0, 0.005, COUNT)
    oldest, middle = int(np.argmax(ages)), int(np.argmin(np.abs(ages - 50)))
    slope[middle] += 0.1
    values = dict(zip(KEYS, slope.tolist(), strict=True))
    covariates = read_covariates(out, KEYS)
    assert covariates.names == ("age", "sex")
    adjusted, plain = spread_of("caudate", values, covariates), spread_of("caudate", values)
    assert KEYS[middle] not in plain.outliers
    assert KEYS[middle] in adjusted.outliers
    assert KEYS[oldest] not in adjusted.outliers
    np.testing.assert_allclose([adjusted.expected[key] for key in KEYS], 0.01 * (ages - 50), atol=0.01)


def test_scanners_shift_the_expected_value(tmp_path, rng):
    scanners = {key: "AB"[k % 2] for k, key in enumerate(KEYS)}
    values = {key: (5.0 if scanners[key] == "A" else 1.0) + float(rng.normal(0, 0.1)) for key in KEYS}
    values[KEYS[0]] = 1.0
    found = spread_of("SNR", values, read_covariates(tmp_path, KEYS, scanners))
    assert list(found.outliers) == [KEYS[0]]
    assert KEYS[0] not in spread_of("SNR", values).outliers


@pytest.mark.parametrize("count", [1, 5, 12])
def test_few_sessions_are_compared_with_their_median(out, count):
    values = {key: float(k) for k, key in enumerate(KEYS[:count])}
    found = spread_of("SNR", values, read_covariates(out, KEYS[:count])).expected
    assert set(found.values()) == {np.median(list(values.values()))}


def test_sessions_without_a_row_and_dependent_columns_are_tolerated(tmp_path, rng):
    rows = [f"{key}\t{20 + k}\t{'AB'[k % 2]}\t{'FM'[k % 2]}" for k, key in enumerate(KEYS[:40])]
    (tmp_path / "participants.tsv").write_text("\n".join(["participant_id\tage\tsite\tsex", *rows]) + "\n")
    values = dict(zip(KEYS, rng.normal(size=COUNT).tolist(), strict=True))
    found = spread_of("SNR", values, read_covariates(tmp_path, KEYS)).expected
    assert list(found) == KEYS
    assert np.isfinite(list(found.values())).all()
    assert spread_of("SNR", values, Covariates()).expected == dict.fromkeys(
        KEYS, np.median(list(values.values()))
    )

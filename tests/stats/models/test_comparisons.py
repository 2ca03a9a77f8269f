import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qsmengine.errors import InputError
from qsmengine.stats.models import effects
from qsmengine.stats.models.comparisons import (
    SampleSummary,
    chi_squared,
    chi_squared_of_counts,
    mann_whitney,
    student_t,
    t_from_summary,
    welch_t,
)
from tests.stats.models.published import CARS, SLEEP


def test_t_tests_of_students_sleep_data_are_those_of_r():
    welch, student = welch_t(*SLEEP), student_t(*SLEEP)
    assert welch.statistic == pytest.approx(-1.8608, abs=5e-5)
    assert welch.df == pytest.approx(17.776, abs=5e-4)
    assert welch.p == pytest.approx(0.07939, abs=5e-6)
    assert (welch.difference.low, welch.difference.high) == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)
    assert (student.statistic, student.df) == pytest.approx((-1.8608, 18), abs=5e-5)
    assert student.p == pytest.approx(0.07919, abs=5e-6)
    assert (student.difference.low, student.difference.high) == pytest.approx((-3.363874, 0.203874), abs=5e-7)
    assert student.difference.value == pytest.approx(-1.58)


def test_printed_means_and_deviations_give_the_test_of_the_values():
    rng = np.random.default_rng(4)
    a, b = rng.normal(3, 2, 30), rng.normal(4, 5, 17)
    summary = t_from_summary(
        SampleSummary(a.mean(), a.std(ddof=1), 30), SampleSummary(b.mean(), b.std(ddof=1), 17)
    )
    expected = stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert summary.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert summary.df == pytest.approx(expected.df, rel=1e-9)
    assert (summary.difference.low, summary.difference.high) == pytest.approx(
        (interval.low, interval.high), rel=1e-9
    )


def test_hedges_g_covers_the_true_effect_as_often_as_promised():
    rng = np.random.default_rng(8)
    true, hits, values = 0.8, 0, []
    for _ in range(300):
        g = student_t(rng.normal(true, 1, 12), rng.normal(0, 1, 15)).effect
        hits += g.low <= true <= g.high
        values.append(g.value)
    assert 0.91 <= hits / 300 <= 0.985
    assert np.mean(values) == pytest.approx(true, abs=0.07)


def test_mann_whitney_of_mtcars_is_that_of_r():
    manual, automatic = (CARS["mpg"][CARS["am"] == am].to_numpy() for am in (1, 0))
    test = mann_whitney(automatic, manual)
    assert test.statistic == 42
    assert test.p == pytest.approx(0.001871, abs=5e-7)
    assert test.effect.value == pytest.approx(2 * 42 / (19 * 13) - 1)
    assert test.effect.low < test.effect.value < test.effect.high < 0


def test_chi_squared_of_the_party_example_is_that_of_r():
    # Agresti 2007, An Introduction to Categorical Data Analysis, p. 39; the example of R's chisq.test.
    test = chi_squared_of_counts(np.array([[762.0, 327, 468], [484, 239, 477]]))
    assert test.statistic == pytest.approx(30.07, abs=5e-3)
    assert test.df == 2
    assert test.p == pytest.approx(2.954e-07, rel=1e-3)
    assert test.effect.value == pytest.approx(np.sqrt(30.07015 / 2757), rel=1e-5)
    assert test.effect.low < test.effect.value < test.effect.high


def test_columns_give_the_counts_of_their_table():
    sex = pd.Series(["f"] * 10 + ["m"] * 15 + ["f"] * 23 + ["m"] * 29)
    group = pd.Series(["PMS"] * 25 + ["RRMS"] * 52)
    assert chi_squared(group, sex) == chi_squared_of_counts(np.array([[10.0, 15], [23, 29]]))


def test_intervals_invert_the_noncentral_distributions():
    eta = effects.partial_eta_squared(6.0, 2, 40)
    for end, q in ((eta.low, 0.975), (eta.high, 0.025)):
        assert stats.ncf.cdf(6.0, 2, 40, end * 43 / (1 - end)) == pytest.approx(q, abs=1e-9)
    assert effects.partial_eta_squared(0.3, 2, 40).low == 0.0
    r = effects.correlation(0.5, 28)
    assert np.arctanh([r.low, r.high]) == pytest.approx(np.arctanh(0.5) + np.array([-1, 1]) * 1.959964 / 5)


def test_rank_biserial_interval_covers_the_truth_about_as_often_as_promised():
    rng = np.random.default_rng(3)
    true, hits = 2 * stats.norm.cdf(0.7 / np.sqrt(2)) - 1, 0
    for i in range(120):
        found = effects.rank_biserial(rng.normal(0.7, 1, 30), rng.normal(0, 1, 25), seed=i)
        hits += found.low <= true <= found.high
    assert 0.87 <= hits / 120 <= 0.995


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="every group needs two participants, one has 1"):
        student_t(np.array([1.0]), np.array([1.0, 2.0]))
    with pytest.raises(InputError, match="constant in both groups"):
        welch_t(np.ones(3), np.zeros(4))
    with pytest.raises(InputError, match="only one category"):
        chi_squared_of_counts(np.array([[3.0, 0.0], [5.0, 0.0]]))
    with pytest.raises(InputError, match="the outcome is constant"):
        mann_whitney(np.ones(3), np.ones(4))

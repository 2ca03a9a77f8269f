import numpy as np
import pytest

from qsmengine.report.distribution import LIMIT, distributions, means_of
from qsmengine.report.records import find_tables, read_table
from tests.report.results import write_table


def cohort(folder, values, region="pallidum"):
    for number, value in enumerate(values):
        write_table(folder, f"sub-{number:02d}", {region: value})
    return {d.name: d for d in distributions(map(means_of, find_tables(folder)))}


def test_median_and_scaled_deviation_over_sessions(tmp_path):
    rng = np.random.default_rng(3)
    values = rng.normal(0.1, 0.02, 31)
    (spread,) = cohort(tmp_path, values)["chi"].regions
    assert spread.median == pytest.approx(np.median(values))
    assert spread.deviation == pytest.approx(1.4826 * np.median(np.abs(values - np.median(values))))
    assert spread.values["sub-07"] == pytest.approx(values[7])


def test_means_hold_both_sides_together_only(tmp_path):
    path = write_table(tmp_path, "sub-01", {"pallidum": 0.1, "caudate": 0.2})
    means = means_of(read_table(path))
    assert [label for label in means.labels if label[0] == "chi_mean"] == [
        ("chi_mean", "pallidum"),
        ("chi_mean", "caudate"),
    ]
    np.testing.assert_array_equal(means.numbers, [0.1, 0.2, 1000, 1000])


def test_regions_that_some_sessions_lack_keep_the_others(tmp_path):
    write_table(tmp_path, "sub-01", {"pallidum": 0.1, "caudate": 0.2})
    write_table(tmp_path, "sub-02", {"caudate": 0.4})
    write_table(tmp_path, "sub-03", {"pallidum": float("nan"), "caudate": 0.6})
    found = {s.region: dict(s.values) for s in distributions(map(means_of, find_tables(tmp_path)))[0].regions}
    assert found == {"pallidum": {"sub-01": 0.1}, "caudate": {"sub-01": 0.2, "sub-02": 0.4, "sub-03": 0.6}}


def test_values_beyond_the_limit_stand_out_and_no_others(tmp_path):
    values = np.linspace(-1, 1, 21)
    median_deviation = 1.4826 * 0.5
    values[20], values[0] = 1.02 * LIMIT * median_deviation, -0.98 * LIMIT * median_deviation
    (spread,) = cohort(tmp_path, values)["chi"].regions
    far = {k for k, v in spread.values.items() if abs(v - spread.median) > LIMIT * spread.deviation}
    assert far == set(spread.outliers) == {"sub-20"}


def test_few_or_equal_values_have_no_outliers(tmp_path):
    assert cohort(tmp_path / "few", [0, 0, 0, 9])["chi"].regions[0].outliers == {}
    assert cohort(tmp_path / "equal", [1, 1, 1, 1, 1, 9])["chi"].regions[0].outliers == {}


def test_sides_are_not_mixed_and_volumes_come_last(tmp_path):
    found = cohort(tmp_path, [0.1, 0.2])
    assert list(found) == ["chi", "volume"]
    assert sorted(found["chi"].regions[0].values.values()) == [0.1, 0.2]
    assert (found["chi"].unit, found["volume"].unit) == ("ppm", "mm^3")


def test_tables_of_two_segmentations_are_kept_apart(tmp_path):
    path = write_table(tmp_path, "sub-01_ses-2", {"caudate": 1.0})
    other = path.with_name("sub-01_ses-2_seg-first_desc-dgm_stats.tsv")
    other.write_text(path.read_text().replace("1.0", "2.0"))
    found = {
        (d.name, d.variant): d.regions[0].values for d in distributions(map(means_of, find_tables(tmp_path)))
    }
    assert found["chi", "desc-dgm"] == {"sub-01_ses-2": 1.0}
    assert found["chi", "seg-first_desc-dgm"] == {"sub-01_ses-2": 2.0}

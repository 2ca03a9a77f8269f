import numpy as np
import pytest

from qsmengine.report.distribution import LIMIT, condensed, distributions
from qsmengine.report.records import find_tables
from tests.report.results import write_table


def cohort(folder, values, region="pallidum"):
    for number, value in enumerate(values):
        write_table(folder, f"sub-{number:02d}", {region: value})
    return {d.name: d for d in distributions(find_tables(folder))}


def test_median_and_scaled_deviation_over_sessions(tmp_path):
    rng = np.random.default_rng(3)
    values = rng.normal(0.1, 0.02, 31)
    (spread,) = cohort(tmp_path, values)["chi"].regions
    assert spread.median == pytest.approx(np.median(values))
    assert spread.deviation == pytest.approx(1.4826 * np.median(np.abs(values - np.median(values))))
    assert spread.values["sub-07"] == pytest.approx(values[7])


def test_condensed_tables_have_the_same_distributions(tmp_path):
    values = np.random.default_rng(4).normal(0.1, 0.02, 7)
    whole = cohort(tmp_path, values)
    few = [condensed(table) for table in find_tables(tmp_path)]
    assert {d.name: d for d in distributions(few)} == whole
    assert {row["hemisphere"] for table in few for row in table.rows} == {"bilateral"}
    assert {name for table in few for row in table.rows for name in row if name.endswith("_sd")} == set()


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
    found = {(d.name, d.variant): d.regions[0].values for d in distributions(find_tables(tmp_path))}
    assert found["chi", "desc-dgm"] == {"sub-01_ses-2": 1.0}
    assert found["chi", "seg-first_desc-dgm"] == {"sub-01_ses-2": 2.0}

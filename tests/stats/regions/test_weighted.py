"""Statistics weighted by the part of each voxel in a region."""

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.stats.labels.tables import load_label_table
from qsmengine.stats.regions.measure import PERCENTILES
from qsmengine.stats.regions.weighted import Covered, Structure, weighted_region_table

TABLE = load_label_table("freesurfer-aseg")
LEFT, RIGHT = 13, 52
BOTH = {LEFT: Structure(40, 320.0), RIGHT: Structure(44, 352.0, "3 mL, too many")}


def rows(maps, structures=BOTH, **options):
    table = weighted_region_table(structures, TABLE, {"chi": maps}, **options)
    return {row["hemisphere"]: row for row in table.to_dict("records")}


def test_whole_voxels_give_plain_statistics():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=30), rng.normal(2, 1, size=25)
    made = rows({LEFT: Covered(x, np.ones(30)), RIGHT: Covered(y, np.ones(25))})
    for side, values in (("left", x), ("right", y), ("bilateral", np.concatenate([x, y]))):
        row = made[side]
        assert row["chi_mean"] == pytest.approx(values.mean())
        assert row["chi_sd"] == pytest.approx(values.std(ddof=1))
        assert (row["chi_min"], row["chi_max"]) == (values.min(), values.max())
        assert (row["chi_n_valid"], row["chi_coverage"]) == (values.size, 1)
        middles = 100 * (np.arange(values.size) + 0.5) / values.size
        for name, percent in PERCENTILES.items():
            assert row[f"chi_{name}"] == pytest.approx(np.interp(percent, middles, np.sort(values)))


def test_parts_count_as_often_as_the_voxels_they_add_up_to():
    rng = np.random.default_rng(5)
    values, counts = rng.normal(size=40), rng.integers(1, 5, 40)
    row = rows({LEFT: Covered(values, counts / 4)}, {LEFT: Structure(9, 72.0)})["left"]
    assert row["chi_mean"] == pytest.approx(np.repeat(values, counts).mean())
    assert row["chi_n_valid"] == (counts >= 2).sum()
    assert row["chi_median"] == pytest.approx(np.median(np.repeat(values, counts)), abs=0.1)


def test_the_core_leaves_the_rim_out():
    values, parts = np.r_[np.full(15, 2.0), np.full(30, 1.0)], np.r_[np.ones(15), np.full(30, 0.5)]
    row = rows({LEFT: Covered(values, parts)}, {LEFT: BOTH[LEFT]})["left"]
    assert (row["chi_core"], row["chi_mean"]) == (2.0, 1.5)
    few = rows({LEFT: Covered(values[6:], parts[6:])}, {LEFT: BOTH[LEFT]})["left"]
    assert np.isnan(few["chi_core"])
    assert np.isfinite(few["chi_mean"])


def test_undefined_voxels_count_for_the_coverage_alone():
    values = np.r_[np.full(20, 3.0), np.full(20, np.nan)]
    row = rows({LEFT: Covered(values, np.r_[np.ones(20), np.full(20, 0.5)])}, {LEFT: BOTH[LEFT]})["left"]
    assert (row["chi_mean"], row["chi_n_valid"]) == (3.0, 20)
    assert row["chi_coverage"] == pytest.approx(20 / 30)


def test_fewer_than_ten_voxels_and_a_missing_side_have_no_statistics():
    made = rows({LEFT: Covered(np.ones(19), np.full(19, 0.5))})
    assert np.isnan(made["left"]["chi_mean"])
    made = rows({LEFT: Covered(np.ones(19), np.ones(19))})
    assert made["left"]["chi_mean"] == 1
    assert np.isnan(made["bilateral"]["chi_mean"])


def test_structures_that_are_not_reliable_are_marked_with_the_reason():
    made = rows({})
    assert {side: row["reliable"] for side, row in made.items()} == {"left": 1, "right": 0, "bilateral": 0}
    assert made["bilateral"]["reasons"] == "3 mL, too many"
    assert made["bilateral"]["volume_mm3"] == 672
    assert "volume_mm3" not in rows({}, volumes=False)["left"]


def test_labels_of_another_table_are_refused():
    with pytest.raises(InputError, match="none of the labels"):
        weighted_region_table({901: Structure(1, 1.0)}, TABLE, {})

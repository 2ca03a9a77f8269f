import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stats.derivatives.collect import collect_tables
from qsmengine.stats.labels.tables import load_label_table
from qsmengine.stats.regions.files import write_region_table
from qsmengine.stats.regions.measure import region_table


def test_collected_tables_are_tidy_and_joined(bids, make_cohort):
    people = make_cohort(bids)
    tidy = collect_tables(bids)
    assert len(tidy) == 24 * 4 * 4
    cell = tidy.query(
        "region == 'thalamus' and hemisphere == 'bilateral' and map == 'chi' and statistic == 'mean'"
    )
    np.testing.assert_allclose(cell["value"], people["thalamus"], rtol=1e-12)
    assert cell["group"].tolist() == people["group"].tolist()
    assert tidy.query("statistic == 'volume_mm3'")["map"].unique().tolist() == [""]


def test_a_written_region_table_is_collected_value_by_value(bids, make_cohort):
    make_cohort(bids, n=6)
    path = next((bids / "sub-03").rglob("*.tsv"))
    rng = np.random.default_rng(8)
    grid = Grid.from_voxel_size((12, 12, 12), (1.0, 1.0, 2.0))
    labels = rng.choice([0, 10, 49, 16], size=grid.shape)
    table = region_table(labels, load_label_table("fsl-first"), {"r2_star": rng.random(grid.shape)}, grid)
    write_region_table(table, path, units={"r2_star": "1/s"})
    tidy = collect_tables(bids).query("participant_id == 'sub-03'")
    found = tidy.set_index(["region", "hemisphere", "map", "statistic"])["value"]
    source = table.set_index(["region", "hemisphere"])
    assert (
        found["thalamus", "bilateral", "r2_star", "n_valid"]
        == source.loc[("thalamus", "bilateral"), "n_voxels"]
    )
    for statistic in ("mean", "sd", "p95"):
        expected = source.loc[("brainstem", "midline"), f"r2_star_{statistic}"]
        assert found["brainstem", "midline", "r2_star", statistic] == pytest.approx(expected, rel=1e-9)
    assert found["thalamus", "left", "", "volume_mm3"] == source.loc[("thalamus", "left"), "volume_mm3"]
    assert np.isnan(found["putamen", "bilateral", "", "volume_mm3"])


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("thalamus\tleft", "thalamus\tbilateral", "thalamus bilateral appears twice"),
        ("\t8000\t", "\tmany\t", "n_voxels: 'many' is not a finite number"),
        ("\t8000\t", "\t1e999\t", "n_voxels: '1e999' is not a finite number"),
        ("\t8000\t", "\t-inf\t", "n_voxels: '-inf' is not a finite number"),
        ("region\t", "structure\t", "region: no such column"),
        ("chi_mean", "chi_average", r"sub-03.*column 'chi_average' is not MAP_STATISTIC"),
        ("chi_mean", "chi_n_valid", "column 'chi_n_valid' appears twice"),
    ],
)
def test_a_broken_region_table_is_refused_by_name(bids, old, new, what, make_cohort):
    make_cohort(bids)
    path = next((bids / "sub-03").rglob("*.tsv"))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=what):
        collect_tables(bids)


def test_a_folder_without_tables_or_participants_is_refused(bids, make_cohort):
    with pytest.raises(InputError, match=r"desc-dgm_stats\.tsv in it"):
        collect_tables(bids)
    make_cohort(bids)
    (bids / "participants.tsv").unlink()
    with pytest.raises(InputError, match=r"participants\.tsv: no such file"):
        collect_tables(bids)

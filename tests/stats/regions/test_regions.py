import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stats.labels.tables import Label, LabelTable, load_label_table
from qsmengine.stats.regions.files import tabulate_regions, write_region_table
from qsmengine.stats.regions.measure import region_table
from qsmengine.stats.tables import read_table

SHAPE = (17, 22, 13)
GRID = Grid.from_voxel_size(SHAPE, (0.9, 1.1, 2.0))
TABLE = LabelTable(
    "test",
    (
        Label(3, "a", "left", "A", "dgm"),
        Label(900000, "a", "right", "A", "dgm"),
        Label(7, "b"),
        Label(8, "c", "right"),
        Label(12, "absent", "left"),
        Label(13, "absent", "right"),
    ),
)


@pytest.fixture
def head():
    rng = np.random.default_rng(11)
    labels = rng.choice([0, 3, 900000, 7, 8, 13, 77], size=SHAPE)
    chi = rng.normal(0.02, 0.1, SHAPE).astype(np.float32)
    chi[rng.random(SHAPE) < 0.1] = np.nan
    mask = rng.random(SHAPE) < 0.7
    return labels, chi, mask


def row(table, region, hemisphere):
    return table[(table["region"] == region) & (table["hemisphere"] == hemisphere)].iloc[0]


@pytest.mark.parametrize(
    ("region", "hemisphere", "numbers"),
    [("a", "left", [3]), ("a", "right", [900000]), ("a", "bilateral", [3, 900000]), ("b", "midline", [7])],
)
def test_statistics_equal_numpy_on_a_boolean_mask(head, region, hemisphere, numbers):
    labels, chi, mask = head
    r = row(region_table(labels, TABLE, {"chi": chi}, GRID, mask=mask), region, hemisphere)
    member = np.isin(labels, numbers)
    x = chi[member & mask & np.isfinite(chi)].astype(np.float64)
    assert r["n_voxels"] == member.sum()
    assert r["volume_mm3"] == pytest.approx(member.sum() * 0.9 * 1.1 * 2.0, rel=1e-12)
    assert r["chi_n_valid"] == x.size
    assert r["chi_coverage"] == pytest.approx(x.size / member.sum())
    expected = {
        "mean": np.mean(x),
        "median": np.median(x),
        "sd": np.std(x, ddof=1),
        "p05": np.quantile(x, 0.05),
        "p25": np.quantile(x, 0.25),
        "p75": np.quantile(x, 0.75),
        "p95": np.quantile(x, 0.95),
        "min": x.min(),
        "max": x.max(),
    }
    for name, value in expected.items():
        assert r[f"chi_{name}"] == pytest.approx(value, rel=1e-12), name


def test_rows_are_left_right_bilateral_and_single_ones(head):
    table = region_table(head[0], TABLE, {}, GRID)
    assert list(zip(table["region"], table["hemisphere"], strict=True)) == [
        ("a", "left"),
        ("a", "right"),
        ("a", "bilateral"),
        ("b", "midline"),
        ("c", "right"),
        ("absent", "left"),
        ("absent", "right"),
        ("absent", "bilateral"),
    ]
    assert table["index"].tolist() == [3, 900000, pd.NA, 7, 8, 12, 13, pd.NA]


def test_an_absent_side_has_no_volume_and_no_statistic_and_neither_has_the_pair(head):
    labels, chi, _ = head
    table = region_table(labels, TABLE, {"chi": chi}, GRID)
    for hemisphere in ("left", "bilateral"):
        r = row(table, "absent", hemisphere)
        assert np.isnan(r["volume_mm3"])
        assert np.isnan(r["chi_mean"])
        assert np.isnan(r["chi_max"])
    assert np.isnan(row(table, "absent", "left")["chi_coverage"])
    assert row(table, "absent", "left")["n_voxels"] == 0
    assert np.isfinite(row(table, "absent", "right")["chi_mean"])


def test_nine_valid_voxels_give_no_statistic_and_ten_do(head):
    labels = np.zeros(SHAPE, dtype=np.int16)
    labels.ravel()[:40] = 7
    chi = np.full(SHAPE, np.nan)
    chi.ravel()[5:14] = 2.0
    nine = row(region_table(labels, TABLE, {"chi": chi}, GRID), "b", "midline")
    assert (nine["chi_n_valid"], nine["chi_coverage"]) == (9, 9 / 40)
    assert np.isnan(nine["chi_mean"])
    assert nine["volume_mm3"] == pytest.approx(40 * 1.98)
    chi.ravel()[14] = 2.0
    ten = row(region_table(labels, TABLE, {"chi": chi}, GRID), "b", "midline")
    assert (ten["chi_mean"], ten["chi_sd"]) == (2.0, 0.0)


def test_values_outside_the_mask_and_memory_order_do_not_matter(head):
    labels, chi, mask = head
    table = region_table(labels, TABLE, {"chi": chi}, GRID, mask=mask)
    other = np.where(mask, chi, 1e30)
    again = region_table(
        np.asfortranarray(labels).astype(np.float64),
        TABLE,
        {"chi": np.asfortranarray(other)},
        GRID,
        mask=np.asfortranarray(mask).astype(np.float32),
    )
    pd.testing.assert_frame_equal(table, again)


def test_float32_values_are_summed_in_double_precision():
    rng = np.random.default_rng(3)
    grid = Grid.from_voxel_size((100, 100, 100), (1, 1, 1))
    values = (1000 + rng.random(grid.shape)).astype(np.float32)
    table = region_table(np.full(grid.shape, 7, np.uint8), TABLE, {"m": values}, grid)
    r = row(table, "b", "midline")
    exact = values.astype(np.longdouble)
    assert r["m_mean"] == pytest.approx(float(exact.mean()), rel=1e-13)
    assert r["m_sd"] == pytest.approx(float(exact.std(ddof=1)), rel=1e-9)


def test_a_group_keeps_its_structures_only(head):
    table = region_table(head[0], TABLE, {}, GRID, group="dgm")
    assert set(table["region"]) == {"a"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            {"maps": {"chi": np.zeros((17, 22, 12))}},
            r"map chi has shape \(17, 22, 12\), the grid has \(17, 22, 13\)",
        ),
        ({"mask": np.zeros((17, 22, 13, 1))}, r"mask has shape \(17, 22, 13, 1\)"),
        ({"mask": np.zeros(SHAPE)}, "mask is empty"),
        ({"labels": np.full(SHAPE, 0.5)}, "whole numbers"),
        ({"labels": np.full(SHAPE, np.nan)}, "finite"),
        ({"labels": np.full(SHAPE, -3)}, "negative label -3"),
        ({"labels": np.full(SHAPE, -1e300)}, r"negative label -1e\+300"),
        ({"labels": np.full(SHAPE, 1e300)}, r"label 1e\+300 is larger than 2147483647"),
        ({"labels": np.full(SHAPE, 2**63, np.uint64)}, "is larger than 2147483647"),
        ({"labels": np.full(SHAPE, 77)}, "none of the labels of table 'test'"),
        ({"maps": {"chi": np.zeros(SHAPE, complex)}}, "map chi has values of type complex128"),
    ],
)
def test_unusable_arrays_are_refused(head, change, what):
    arguments = {"labels": head[0], "label_table": TABLE, "maps": {"chi": head[1]}, "grid": GRID} | change
    with pytest.raises(InputError, match=what):
        region_table(**arguments)


def test_the_written_table_reads_back_and_every_column_has_a_meaning(head, tmp_path: Path):
    labels, chi, mask = head
    table = region_table(labels, TABLE, {"chi": chi, "fa": chi}, GRID, mask=mask)
    path = tmp_path / "sub-01_desc-dgm_stats.tsv"
    write_region_table(table, path, units={"chi": "ppm", "fa": "1"})
    text = path.read_text()
    assert "nan" not in text
    assert "<NA>" not in text
    read = read_table(path)
    assert list(read.columns) == list(table.columns)
    np.testing.assert_allclose(read["chi_mean"].astype(float), table["chi_mean"], rtol=1e-9)
    assert read["index"].isna().sum() == 2
    dictionary = json.loads(path.with_suffix(".json").read_text())
    assert list(dictionary) == list(table.columns)
    assert all(entry["Description"] for entry in dictionary.values())
    assert dictionary["chi_p95"]["Units"] == "ppm"
    assert dictionary["chi_n_valid"]["Units"] == "count"
    assert dictionary["volume_mm3"]["Units"] == "mm^3"
    assert set(dictionary["hemisphere"]["Levels"]) >= set(table["hemisphere"])


def test_a_map_without_unit_is_refused_before_anything_is_written(head, tmp_path: Path):
    table = region_table(head[0], TABLE, {"chi": head[1]}, GRID)
    with pytest.raises(InputError, match="no unit given for map 'chi'"):
        write_region_table(table, tmp_path / "t.tsv", units={"fa": "1"})
    assert list(tmp_path.iterdir()) == []


def save(path, array, affine):
    nib.Nifti1Image(array, affine).to_filename(path)
    return path


def test_files_give_the_table_of_their_arrays(head, tmp_path: Path):
    labels, chi, mask = head
    files = {
        "labels": save(tmp_path / "dseg.nii.gz", labels.astype(np.int32), GRID.affine),
        "chi": save(tmp_path / "chi.nii.gz", chi, GRID.affine),
        "mask": save(tmp_path / "mask.nii.gz", mask.astype(np.uint8), GRID.affine),
    }
    out = tmp_path / "out" / "t.tsv"
    table = tabulate_regions(
        files["labels"], TABLE, {"chi": files["chi"]}, out, units={"chi": "ppm"}, mask=files["mask"]
    )
    pd.testing.assert_frame_equal(table, region_table(labels, TABLE, {"chi": chi}, GRID, mask=mask))
    assert len(read_table(out)) == len(table)


def test_labels_that_the_table_does_not_name_are_noted(head, tmp_path: Path):
    labels, chi, _ = head
    more = labels.astype(np.int32)
    more[labels == 0] = np.arange((labels == 0).sum()) % 3 * 11
    image, chi_file = tmp_path / "dseg.nii.gz", tmp_path / "chi.nii.gz"
    save(image, more, GRID.affine)
    save(chi_file, chi, GRID.affine)
    notes: list[str] = []
    tabulate_regions(image, TABLE, {"chi": chi_file}, tmp_path / "t.tsv", units={"chi": "ppm"}, notes=notes)
    unknown = sorted(set(np.unique(more)) - {0, *(label.index for label in TABLE.labels)})
    assert {11, 22} <= set(unknown)
    assert f"{len(unknown)} labels of the image left out" in notes[0]
    assert ", ".join(map(str, unknown)) in notes[0]


def test_a_map_without_a_value_in_any_region_is_noted(head, tmp_path: Path):
    labels, chi, _ = head
    image, chi_file, notes = tmp_path / "dseg.nii.gz", tmp_path / "chi.nii.gz", list[str]()
    save(image, labels.astype(np.int32), GRID.affine)
    save(chi_file, chi * np.nan, GRID.affine)
    tabulate_regions(image, TABLE, {"chi": chi_file}, tmp_path / "t.tsv", units={"chi": "ppm"}, notes=notes)
    assert f"{chi_file}: no region has enough finite values of chi" in notes


def test_files_on_another_grid_are_refused_with_the_file_named(head, tmp_path: Path):
    labels, chi, _ = head
    dseg = save(tmp_path / "dseg.nii.gz", labels.astype(np.int32), GRID.affine)
    moved = GRID.affine.copy()
    moved[0, 3] = 5.0
    shifted = save(tmp_path / "shifted.nii.gz", chi, moved)
    short = save(tmp_path / "short.nii.gz", chi[:-1], GRID.affine)
    out = tmp_path / "t.tsv"
    with pytest.raises(InputError, match=r"shifted.nii.gz: affine: .*dseg.nii.gz"):
        tabulate_regions(dseg, TABLE, {"chi": shifted}, out, units={"chi": "ppm"})
    with pytest.raises(InputError, match=r"short.nii.gz: dim: .*\(16, 22, 13\).*\(17, 22, 13\)"):
        tabulate_regions(dseg, TABLE, {"chi": short}, out, units={"chi": "ppm"})
    assert not out.exists()


def test_labels_and_masks_that_cannot_be_used_are_refused_with_the_file_named(head, tmp_path: Path):
    labels, chi, _ = head
    maps = {"chi": save(tmp_path / "chi.nii.gz", chi, GRID.affine)}
    negative = save(tmp_path / "negative.nii.gz", labels.astype(np.int32) - 1, GRID.affine)
    with pytest.raises(InputError, match=r"negative\.nii\.gz: labels: negative label -1"):
        tabulate_regions(negative, TABLE, maps, tmp_path / "t.tsv", units={"chi": "ppm"})
    dseg = save(tmp_path / "dseg.nii.gz", labels.astype(np.int32), GRID.affine)
    empty = save(tmp_path / "empty.nii.gz", np.zeros(SHAPE, np.uint8), GRID.affine)
    with pytest.raises(InputError, match=r"empty\.nii\.gz: empty mask"):
        tabulate_regions(dseg, TABLE, maps, tmp_path / "t.tsv", units={"chi": "ppm"}, mask=empty)


def test_built_in_tables_work_on_an_atlas_of_their_own():
    table = load_label_table("cit168")
    grid = Grid.from_voxel_size((10, 20, 30), (1, 1, 1))
    labels = np.zeros(grid.shape, np.uint8)
    labels[:5], labels[5:] = 8, 108
    red = (
        region_table(labels, table, {}, grid, group="dgm")
        .set_index(["region", "hemisphere"])
        .loc["red_nucleus"]
    )
    assert red["volume_mm3"].tolist() == [3000.0, 3000.0, 6000.0]

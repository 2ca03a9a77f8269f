"""Lesion tables: instances, volumes, core and rim, load, and files."""

import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.stats.regions.lesions import lesion_table
from qsmengine.stats.tables import read_table

GRID = Grid((30, 28, 26), np.array([[1.0, 0, 0, -10], [0, 1.5, 0, 5], [0, 0, 2.0, 7], [0, 0, 0, 1]]))


def distance(centre):
    """Return the distance [mm] of every voxel of GRID from a voxel."""
    axes = [(np.arange(n) - c) * h for n, c, h in zip(GRID.shape, centre, GRID.voxel_edges, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(x * x + y * y + z * z)


@pytest.fixture
def lesions():
    """A large lesion with a bright rim of 2 mm, a small one, and a single voxel; and the map."""
    near, far = distance((10, 10, 10)), distance((22, 20, 17))
    mask = (near < 8) | (far < 3)
    mask[1, 1, 1] = True
    chi = np.where(near < 8, np.where(near > 6.5, 50.0, 10.0), -20.0).astype(np.float32)
    return mask, chi


def test_lesions_are_separated_measured_and_ordered_by_volume(lesions):
    mask, chi = lesions
    table, load, notes = lesion_table(mask.astype(np.uint8), {"chi": chi}, GRID, smallest=4.0)
    assert len(table) == 2
    near = distance((10, 10, 10)) < 8
    assert table["n_voxels"][0] == near.sum()
    assert table["volume_mm3"][0] == pytest.approx(3.0 * near.sum())
    np.testing.assert_allclose(table.loc[0, ["x", "y", "z"]].astype(float), [0.0, 20.0, 27.0], atol=1e-9)
    assert load["lesion_load_ml"][0] == pytest.approx(table["volume_mm3"].sum() / 1e3)
    assert load["log1p_lesion_load"][0] == pytest.approx(np.log(1 + load["lesion_load_ml"][0]))
    assert any("1 lesions smaller than 4 mm^3 left out" in note for note in notes)


def test_a_bright_rim_raises_the_score_and_an_even_lesion_has_none(lesions):
    mask, chi = lesions
    rim = lesion_table(mask, {"chi": chi}, GRID).lesions
    assert rim["chi_core"][0] == pytest.approx(10.0)
    assert rim["chi_outside"][0] == pytest.approx(-20.0)
    assert rim["chi_rim_score"][0] == pytest.approx(40.0)
    even = lesion_table(mask, {"chi": np.where(mask, 10.0, -20.0)}, GRID).lesions
    assert even["chi_rim_score"][0] == pytest.approx(0.0)


def test_rim_and_core_follow_the_distance_from_the_border():
    grid = Grid((20, 20, 20), np.eye(4))
    cube = np.zeros(grid.shape, np.uint8)
    cube[4:14, 4:14, 4:14] = 1
    layer = np.zeros(grid.shape)
    for depth in range(5):
        layer[4 + depth : 14 - depth, 4 + depth : 14 - depth, 4 + depth : 14 - depth] = depth + 1
    table = lesion_table(cube, {"rim": np.where(layer <= 2, 1.0, 0.0), "layer": layer}, grid, width=2.0).lesions
    assert table["rim_rim"][0] == 1.0
    assert table["rim_core"][0] == 0.0
    assert table["layer_core"][0] == np.median(layer[layer > 2])
    assert table["layer_outside"][0] == 0.0


def test_numbered_lesions_keep_their_numbers_even_where_they_touch(lesions):
    mask, chi = lesions
    numbered = np.where(mask, 4, 0)
    numbered[10:][mask[10:]] = 9
    table = lesion_table(numbered, {"chi": chi}, GRID, smallest=0).lesions
    assert sorted(table["index"]) == [4, 9]
    assert table["n_voxels"].sum() == mask.sum()


def test_few_or_invalid_voxels_give_no_statistic(lesions):
    mask, chi = lesions
    unknown = np.where(distance((10, 10, 10)) < 8, np.nan, chi)
    table = lesion_table(mask, {"chi": unknown}, GRID).lesions
    assert np.isnan(table[["chi_median", "chi_core", "chi_rim", "chi_rim_score"]].loc[0]).all()
    small = lesion_table(mask, {"chi": chi}, GRID).lesions.loc[1]
    assert np.isnan(small["chi_core"])
    assert np.isnan(small["chi_rim_score"])
    hidden = lesion_table(mask, {"chi": chi}, GRID, mask=distance((10, 10, 10)) >= 8).lesions
    assert np.isnan(hidden["chi_median"][0])


def test_a_head_without_lesions_has_a_load_of_zero():
    table, load, _ = lesion_table(np.zeros(GRID.shape, np.uint8), {"chi": np.zeros(GRID.shape)}, GRID)
    assert len(table) == 0
    assert load.iloc[0].tolist() == [0, 0.0, 0.0]


def test_other_images_and_settings_are_refused(lesions):
    mask, chi = lesions
    for wrong in (mask * 0.5, -1.0 * mask, np.where(mask, np.nan, 0)):
        with pytest.raises(InputError, match="whole numbers"):
            lesion_table(wrong, {}, GRID)
    with pytest.raises(InputError, match="chi has shape"):
        lesion_table(mask, {"chi": chi[1:]}, GRID)
    with pytest.raises(UsageError, match="width 0 mm"):
        lesion_table(mask, {}, GRID, width=0.0)


def test_the_command_writes_tables_with_dictionaries(lesions, tmp_path, capsys):
    mask, chi = lesions
    write_image(tmp_path / "lesions.nii.gz", mask, GRID)
    write_image(tmp_path / "chi.nii.gz", chi, GRID)
    write_image(tmp_path / "other.nii.gz", chi[1:], GRID.replace(shape=(29, 28, 26)))
    line = [
        "lesions",
        "--lesions",
        str(tmp_path / "lesions.nii.gz"),
        "--out",
        str(tmp_path / "out" / "l.tsv"),
        "-q",
    ]
    assert main([*line, "--map", f"chi={tmp_path / 'chi.nii.gz'}"]) == 3
    assert "--unit chi=UNIT" in capsys.readouterr().err
    assert main([*line, "--map", f"chi={tmp_path / 'other.nii.gz'}", "--unit", "chi=ppb"]) == 3
    assert not (tmp_path / "out").exists()
    assert main([*line, "--map", f"chi={tmp_path / 'chi.nii.gz'}", "--unit", "chi=ppb"]) == 0
    (tmp_path / "chi.json").write_text('{"Units": "ppm"}')
    again = [*line, "--force", "--map", f"chi={tmp_path / 'chi.nii.gz'}"]
    for unit, message in (("chi=ppb", "'ppm', but --unit chi=ppb is given"), ("chl=ppm", "did you mean chi")):
        assert main([*again, "--unit", unit]) in {2, 3}
        assert message in capsys.readouterr().err
    (tmp_path / "chi.json").unlink()
    table = read_table(tmp_path / "out" / "l.tsv")
    assert float(table["chi_rim_score"][0]) == pytest.approx(40.0)
    words = json.loads((tmp_path / "out" / "l.json").read_text())
    assert set(words) == set(table.columns)
    assert words["chi_rim_score"]["Units"] == "ppb"
    load = read_table(tmp_path / "out" / "l_load.tsv")
    assert int(load["n_lesions"][0]) == len(table)
    assert main([*line, "--map", f"chi={tmp_path / 'chi.nii.gz'}", "--unit", "chi=ppb"]) == 2

import json

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from qsmengine.backend.device import cpu
from qsmengine.cli.main import main
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.nifti import read_image, write_image
from qsmengine.stages.inference.permutation import PermutationParams, permutation_test
from qsmengine.stats.tables import read_table
from qsmengine.stats.voxelwise import Contrast, run_voxelwise

SHAPE = (8, 9, 7)


@pytest.fixture
def study(tmp_path, rng):
    grid = Grid(SHAPE, np.diag([2.0, 2, 2, 1]))
    mask = np.zeros(SHAPE, np.float32)
    mask[1:7, 1:8, 1:6] = 1
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:02d}" for i in range(20)],
            "map": [f"maps/{i:02d}.nii.gz" for i in range(20)],
            "group": ["HC", "MS"] * 9 + ["CIS", "MS"],
            "age": [*map(str, rng.uniform(20, 70, 18).round(1)), "30", "n/a"],
            "sex": rng.choice(["F", "M"], 20),
        }
    )
    maps = []
    for i in range(20):
        array = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1).astype(np.float32)
        array[2:5, 2:5, 2:5] -= 1.2 * (people["group"][i] == "MS")
        array[0] = np.nan
        maps.append(array)
        write_image(tmp_path / people["map"][i], array, grid)
    write_image(tmp_path / "mask.nii.gz", mask, grid)
    people.to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    return tmp_path, people, maps, mask


def test_maps_on_disk_give_the_test_of_their_arrays(study):
    folder, people, maps, mask = study
    params = PermutationParams(permutations=49, seed=5)
    contrast = Contrast("group", reference="HC", level="MS", covariates=("age", "sex"))
    out = folder / "out"
    run_voxelwise(folder / "people.tsv", folder / "mask.nii.gz", out, contrast, params, device=cpu(1))
    own = people.iloc[:18]
    nuisance = np.column_stack([own["age"].astype(float), own["sex"] == "M"]).astype(float)
    data = np.stack([m[mask > 0] for m in maps[:18]])
    expected = permutation_test(
        data, mask, (own["group"] == "MS").to_numpy(float), nuisance, params, device=cpu(1)
    )
    for name, array in (("t", expected.t), ("desc-tfce_p", expected.p_tfce)):
        np.testing.assert_allclose(read_image(out / f"{name}.nii.gz").array, array, rtol=1e-5, atol=1e-6)
    excluded = read_table(out / "excluded.tsv")
    assert excluded.to_numpy().tolist() == [["sub-18", "group is CIS"], ["sub-19", "age is n/a"]]
    summary = json.loads((out / "voxelwise.json").read_text())
    assert summary["df"] == 14
    assert summary["voxels"] == int(mask.sum())
    assert len(read_table(out / "null.tsv")) == 50
    assert expected.t[3, 3, 3] < -2


def test_the_command_runs_and_does_not_replace(study, capsys):
    folder = study[0]
    argv = ["tfce", "--table", str(folder / "people.tsv"), "--mask", str(folder / "mask.nii.gz")]
    argv += ["--tested", "age", "--covariate", "sex", "--permutations", "19", "--device", "cpu"]
    argv += [str(folder / "out")]
    assert main(argv) == 0
    assert "smallest p" in capsys.readouterr().out
    assert main(argv) == 2
    assert main([*argv, "--force", "--connectivity", "7"]) == 2


@pytest.mark.parametrize(
    ("contrast", "message"),
    [
        (Contrast("grup"), "no such column 'grup' \\(did you mean 'group'"),
        (Contrast("group"), "which of CIS, HC, MS is the reference"),
        (Contrast("group", reference="HC"), "which of CIS, MS is compared"),
        (Contrast("group", reference="HC", level="PMS"), "has no group 'PMS'"),
    ],
)
def test_a_wrong_contrast_is_refused(study, contrast, message):
    folder = study[0]
    with pytest.raises(InputError, match=message):
        run_voxelwise(
            folder / "people.tsv", folder / "mask.nii.gz", folder / "out", contrast,
            PermutationParams(permutations=2), device=cpu(1),
        )  # fmt: skip
    assert not (folder / "out").exists()


def test_a_map_on_another_grid_or_with_gaps_is_named(study):
    folder, _, maps, _ = study
    params, contrast = PermutationParams(permutations=2), Contrast("age")
    files = (folder / "people.tsv", folder / "mask.nii.gz", folder / "out")
    write_image(folder / "maps" / "04.nii.gz", maps[4], Grid(SHAPE, np.diag([2.0, 2, 3, 1])))
    with pytest.raises(InputError, match=r"04\.nii\.gz: affine"):
        run_voxelwise(*files, contrast, params, device=cpu(1))
    maps[4][3, 3, 3] = np.nan
    write_image(folder / "maps" / "04.nii.gz", maps[4], Grid(SHAPE, np.diag([2.0, 2, 2, 1])))
    with pytest.raises(InputError, match=r"04\.nii\.gz: not all values inside the mask are finite"):
        run_voxelwise(*files, contrast, params, device=cpu(1))


@pytest.mark.parametrize("column", ["participant_id", "map"])
def test_a_participant_or_map_in_two_rows_is_refused(study, column):
    folder, people, _, _ = study
    people.loc[7, column] = people.loc[3, column]
    people.to_csv(folder / "people.tsv", sep="\t", index=False)
    params = PermutationParams(permutations=2)
    with pytest.raises(InputError, match=f"{column} +{people.loc[3, column]} is in two rows"):
        run_voxelwise(
            folder / "people.tsv", folder / "mask.nii.gz", folder / "out", Contrast("age"), params,
            device=cpu(1),
        )  # fmt: skip

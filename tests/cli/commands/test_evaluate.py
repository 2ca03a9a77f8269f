import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.grid import Grid
from qsmengine.io.nifti import write_image
from qsmengine.stages.metrics import evaluate
from qsmengine.units import hz_per_ppm

SHAPE = (12, 13, 11)
GRID = Grid.from_voxel_size(SHAPE, (1.0, 1.2, 2.0))


@pytest.fixture
def case(tmp_path):
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 0.05, SHAPE).astype(np.float32)
    mask = np.ones(SHAPE, np.uint8)
    mask[0] = 0
    estimate = (truth + 0.01 * rng.normal(size=SHAPE)).astype(np.float32) * mask
    estimate[:3] = 0
    images = {"estimate": estimate, "truth": truth, "mask": mask, "labels": rng.integers(0, 7, SHAPE)}
    for name, image in images.items():
        write_image(tmp_path / f"{name}.nii.gz", image, GRID)
    argv = ["evaluate"]
    for name in images:
        argv += [f"--{name}", str(tmp_path / f"{name}.nii.gz")]
    return images, argv, tmp_path


def scores(argv, capsys):
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_holds_both_regions_and_the_slope(case, capsys):
    images, argv, _ = case
    expected = evaluate(images["estimate"], images["truth"], images["mask"] > 0, 2.4, labels=images["labels"])
    found = scores(argv, capsys)
    assert found["scored"] == pytest.approx(expected.scored._asdict())
    assert found["whole"] == pytest.approx(expected.whole._asdict())
    assert found["dgm_slope"] == pytest.approx(expected.dgm_slope)
    assert found["scored"]["volume"] == pytest.approx(2.4 * 9 * 13 * 11)


def test_text_names_every_score(case, capsys):
    _, argv, _ = case
    assert main([*argv, "--dgm-labels", "1,2,3"]) == 0
    out = capsys.readouterr().out
    for word in ("nrmse", "nrmse_detrend", "correlation", "xsim", "hfen", "volume", "dgm_slope", "whole mask"):
        assert word in out


def test_labels_that_no_voxel_has_are_said(case, capsys):
    _, argv, _ = case
    assert main([*argv, "--dgm-labels", "1,2,77,78"]) == 0
    assert "labels.nii.gz: no voxel is labelled 77, 78: not part of dgm_slope" in capsys.readouterr().err


def test_a_field_in_hz_is_converted(case, capsys):
    images, argv, folder = case
    expected = scores(argv, capsys)
    write_image(folder / "estimate.nii.gz", images["estimate"] * hz_per_ppm(7.0), GRID)
    (folder / "estimate.json").write_text('{"Units": "Hz", "MagneticFieldStrength": 7}')
    assert scores(argv, capsys)["whole"] == pytest.approx(expected["whole"], rel=1e-4)
    (folder / "estimate.json").write_text('{"Units": "rad"}')
    assert main(argv) == 3
    assert "'rad' is neither ppm nor Hz" in capsys.readouterr().err


def test_another_grid_is_refused(case, capsys):
    images, argv, folder = case
    write_image(folder / "truth.nii.gz", images["truth"], Grid.from_voxel_size(SHAPE, (1.0, 1.0, 2.0)))
    assert main(argv) == 3
    assert "truth.nii.gz: affine: " in capsys.readouterr().err

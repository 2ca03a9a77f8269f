"""``qsmengine dti`` beyond dtifit's files: estimators, orders, gradient checks and deviations."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.demo_data import demo_path
from qsmengine.io.nifti import read_image, write_image
from tests.made_sessions import write_dwi

DEMO = demo_path("siemens-dwi-brain-with-vendor-maps")


def run(path, out, *more):
    return main(["dti", "--dwi", str(path), "--out", str(out / "x"), "--device", "cpu", *more])


@pytest.mark.parametrize("method", ["wls_fsl", "iwls", "nlls", "restore", "constrained"])
def test_every_estimator_runs_from_files(tmp_path, method):
    path, anisotropy = write_dwi(tmp_path / "in")
    assert run(path, tmp_path / "o", "--fit", method) == 0
    np.testing.assert_allclose(read_image(tmp_path / "o" / "x_FA.nii.gz").array, anisotropy, atol=2e-4)
    status = read_image(tmp_path / "o" / "x_status.nii.gz").array
    assert (status == 1).all()
    assert (
        "3: no positive finite signal"
        in json.loads((tmp_path / "o" / "x_status.json").read_text())["Description"]
    )
    fa, v1 = (read_image(tmp_path / "o" / f"x_{name}.nii.gz").array for name in ("FA", "V1"))
    colour = read_image(tmp_path / "o" / "x_RGB.nii.gz").array
    np.testing.assert_allclose(colour, np.abs(v1) * fa[..., None], atol=1e-6)
    assert (tmp_path / "o" / "x_outliers.nii.gz").exists() == (method == "restore")


def test_tensor_is_written_in_the_order_asked_for(tmp_path, capsys):
    path, _ = write_dwi(tmp_path / "in")
    tensors = {}
    for order in ("fsl", "mrtrix", "dipy", "nifti"):
        assert run(path, tmp_path / order, "--tensor-order", order, "-q") == 0
        tensors[order] = nib.load(tmp_path / order / "x_tensor.nii.gz")
    values = {name: image.get_fdata() for name, image in tensors.items()}
    np.testing.assert_array_equal(values["dipy"], values["fsl"][..., [0, 1, 3, 2, 4, 5]])
    np.testing.assert_allclose(
        values["mrtrix"], values["fsl"][..., [0, 3, 5, 1, 2, 4]] * [1, 1, 1, -1, -1, 1], atol=1e-9
    )
    assert tensors["nifti"].header.get_intent()[0] == "symmetric matrix"
    assert values["nifti"].shape == (9, 8, 7, 1, 6)
    np.testing.assert_array_equal(values["nifti"][:, :, :, 0], values["dipy"])
    described = json.loads((tmp_path / "mrtrix" / "x_tensor.json").read_text())["Description"]
    assert "xx yy zz xy xz yz, scanner axes" in described
    assert run(path, tmp_path / "no", "--tensor-order", "mrtirx") == 2
    assert "did you mean mrtrix" in capsys.readouterr().err


def test_a_wrong_table_is_reported(tmp_path, capsys):
    assert run(DEMO / "dwi.nii.gz", tmp_path / "right") == 0
    assert "gradient table" not in capsys.readouterr().err
    wrong = np.loadtxt(DEMO / "dwi.bvec") * [[1], [-1], [1]]
    np.savetxt(tmp_path / "wrong.bvec", wrong)
    table = ["--bvec", str(tmp_path / "wrong.bvec"), "--bval", str(DEMO / "dwi.bval")]
    assert run(DEMO / "dwi.nii.gz", tmp_path / "wrong", *table) == 0
    captured = capsys.readouterr()
    assert "y negated" in captured.err + captured.out
    assert run(DEMO / "dwi.nii.gz", tmp_path / "silent", *table, "--no-check") == 0
    assert "y negated" not in capsys.readouterr().err


def test_gradient_deviation_scales_the_tensor(tmp_path, capsys):
    path, _ = write_dwi(tmp_path / "in")
    grid = read_image(path).grid
    deviation = np.zeros((*grid.shape, 9), np.float32)
    deviation[..., [0, 4, 8]] = 0.1
    write_image(tmp_path / "dev.nii.gz", deviation, grid)
    assert run(path, tmp_path / "plain") == 0
    assert run(path, tmp_path / "turned", "--gradnonlin", str(tmp_path / "dev.nii.gz")) == 0
    plain, turned = (read_image(tmp_path / name / "x_MD.nii.gz").array for name in ("plain", "turned"))
    np.testing.assert_allclose(turned, plain / 1.21, rtol=1e-5)
    write_image(tmp_path / "bad.nii.gz", deviation[..., :8], grid)
    assert run(path, tmp_path / "bad", "--gradnonlin", str(tmp_path / "bad.nii.gz")) == 3
    assert "nine volumes" in capsys.readouterr().err


def test_volumes_are_left_out_on_request(tmp_path, capsys):
    path, anisotropy = write_dwi(tmp_path / "in")
    image = nib.load(path)
    data = np.asarray(image.dataobj).copy()
    data[..., [3, 5, 6]] = 1.0
    nib.save(nib.Nifti1Image(data, image.affine), path)
    assert run(path, tmp_path / "o", "--exclude-volumes", "4,6-7") == 0
    np.testing.assert_allclose(read_image(tmp_path / "o" / "x_FA.nii.gz").array, anisotropy, atol=2e-4)
    assert "excluded on request: 4, 6, 7" in capsys.readouterr().err
    assert run(path, tmp_path / "o2", "--exclude-volumes", "6-4") == 2
    assert "ranges such as 40-42" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "noted"),
    [
        ((), False),
        (("--shells", "1000,4000"), True),
        (("--set", "diffusion.maximum_b=5000"), True),
        (("--fit", "dki"), False),
    ],
)
def test_b_values_beyond_the_tensor_are_noted(tmp_path, capsys, more, noted):
    path, _ = write_dwi(tmp_path / "in", shells=(1000.0, 4000.0))
    assert run(path, tmp_path / "o", *more) == 0
    assert ("the tensor underestimates diffusivity" in capsys.readouterr().err) == noted


def test_voxels_outside_the_brain_are_left_out_unless_asked_for(tmp_path, capsys):
    path = DEMO / "dwi.nii.gz"
    assert run(path, tmp_path / "brain", "--no-check") == 0
    assert "in a brain mask from the median unweighted image" in capsys.readouterr().err
    assert run(path, tmp_path / "all", "--no-check", "--mask", "none") == 0
    assert "brain mask" not in capsys.readouterr().err
    masks, maps = ([read_image(tmp_path / kind / f"x_{name}.nii.gz").array for kind in ("brain", "all")]
                   for name in ("mask", "MD"))  # fmt: skip
    inside = masks[0] > 0
    assert 0.2 < inside.mean() < 0.35
    assert masks[1].mean() > 0.8
    assert not maps[0][~inside].any()
    np.testing.assert_array_equal(maps[0][inside], maps[1][inside])
    described = json.loads((tmp_path / "brain" / "x_mask.json").read_text())
    assert described["Type"] == "Brain"
    assert json.loads((tmp_path / "brain" / "x_MD.json").read_text())["SkullStripped"] is True


def test_slabs_have_the_brain_mask_of_the_whole(tmp_path):
    path = DEMO / "dwi.nii.gz"
    assert run(path, tmp_path / "whole", "--no-check", "-q") == 0
    assert run(path, tmp_path / "slabs", "--no-check", "-q", "--max-memory", "0.02") == 0
    for name in ("x_mask.nii.gz", "x_MD.nii.gz"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "slabs" / name).read_bytes()

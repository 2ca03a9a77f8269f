"""A diffusion series in slabs: the bytes of the whole in little memory; shells chosen; BIDS names."""

from __future__ import annotations

import resource
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.cli.main import main
from qsmengine.errors import DeviceError, InputError
from qsmengine.io import open_dwi, read_image
from qsmengine.modalities.dwi.slabs import Slabs, divide
from qsmengine.modalities.dwi.stages import plan_dti
from qsmengine.modalities.dwi.volumes import chosen_volumes
from qsmengine.pipeline.configuration.config import load_config
from tests.stages.diffusion.tensors import gradient_table, random_tensors, signals


@pytest.fixture
def series(tmp_path, rng):
    """Writer of a noisy series of two shells as `kind` of file; returns its path."""
    shape = (14, 13, 11)
    b, g = gradient_table(rng, 20, (1000.0, 2000.0), b0=3)
    count = int(np.prod(shape))
    clean = signals(random_tensors(rng, count), rng.uniform(400, 1500, count), b, g)
    noisy = (clean * np.exp(0.03 * rng.normal(size=clean.shape))).reshape(*shape, -1)

    def write(kind):
        suffix, dtype = kind
        image = nib.Nifti1Image(noisy.astype(dtype), np.diag([-2.0, 2.0, 2.5, 1.0]))
        image.header.set_slope_inter(1.0, 0.0)
        image.header.set_xyzt_units("mm", "sec")
        path = tmp_path / f"dwi{suffix}"
        nib.save(image, path)
        np.savetxt(tmp_path / "dwi.bval", b[None], fmt="%g")
        np.savetxt(tmp_path / "dwi.bvec", g.T)
        return path

    return write


def fit(path, out, *more):
    return main(["dti", "--dwi", str(path), "--out", str(out), "--device", "cpu", "-q", *more])


@pytest.mark.parametrize("kind", [(".nii", "<f4"), (".nii", ">i2"), (".nii.gz", "<i2"), (".nii.gz", "<f4")])
@pytest.mark.parametrize("method", ["iwls", "restore", "dki"])
def test_slabs_give_the_bytes_of_the_whole(tmp_path, series, kind, method):
    path = series(kind)
    assert fit(path, tmp_path / "whole" / "x", "--fit", method) == 0
    assert fit(path, tmp_path / "slabs" / "x", "--fit", method, "--max-memory", "0.0003") == 0
    names = sorted(p.name for p in (tmp_path / "whole").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "slabs").iterdir())
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "slabs" / name).read_bytes(), name


def test_mask_may_miss_a_slab(tmp_path, series, rng):
    path = series((".nii.gz", "<f4"))
    mask = np.zeros((14, 13, 11), np.uint8)
    mask[3:9, 2:10, 8:] = 1
    nib.save(nib.Nifti1Image(mask, np.diag([-2.0, 2.0, 2.5, 1.0])), tmp_path / "mask.nii")
    more = ["--mask", str(tmp_path / "mask.nii")]
    assert fit(path, tmp_path / "whole" / "x", *more) == 0
    assert fit(path, tmp_path / "slabs" / "x", *more, "--max-memory", "0.0002") == 0
    for name in ("x_FA.nii.gz", "x_V1.nii.gz"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "slabs" / name).read_bytes()


def test_voxel_without_signal_in_one_unweighted_volume_is_left_out_of_the_slabs_too(tmp_path, rng):
    shape = (30, 32, 26)
    b, g = gradient_table(rng, 12, (1000.0,), b0=3)
    axes = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in shape), indexing="ij")
    head = np.linalg.norm(axes, axis=0) < 1
    count = int(head.sum())
    image = rng.uniform(1, 4, (*shape, len(b)))
    image[head] = signals(random_tensors(rng, count), rng.uniform(800, 1200, count), b, g)
    dark = np.flatnonzero(b == 0)[0]
    image[15, 16, 9:17, dark] = 0
    affine = np.diag([-5.0, 5.0, 5.0, 1.0])
    nib.save(nib.Nifti1Image(image.astype(np.float32), affine), tmp_path / "dwi.nii.gz")
    np.savetxt(tmp_path / "dwi.bval", b[None], fmt="%g")
    np.savetxt(tmp_path / "dwi.bvec", g.T)
    assert fit(tmp_path / "dwi.nii.gz", tmp_path / "whole" / "x") == 0
    assert fit(tmp_path / "dwi.nii.gz", tmp_path / "slabs" / "x", "--max-memory", "0.002") == 0
    fitted = read_image(tmp_path / "whole" / "x_mask.nii.gz").array
    assert 0.5 * count < fitted.sum() < 1.5 * count, "the brain mask was used"
    assert not fitted[15, 16, 9:17].any()
    for name in ("x_FA.nii.gz", "x_mask.nii.gz"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "slabs" / name).read_bytes()


def test_depth_follows_from_the_memory(tmp_path, series):
    file = open_dwi(series((".nii", "<f4")))
    config = load_config()
    plan = plan_dti(config, file.grid, 43)
    arguments = plan, config, file, 43, cpu(1)
    assert divide(*arguments, plan.memory, deviation=False) == Slabs(11, 11)
    halves = divide(*arguments, plan.memory - 1, deviation=False)
    assert halves.depth == 10
    assert halves.ranges == [(0, 10), (10, 11)]
    assert divide(*arguments, plan.memory // 11 + 1, deviation=False).depth == 1
    with pytest.raises(DeviceError, match="needs about"):
        divide(*arguments, plan.memory // 12, deviation=False)


def test_values_that_are_no_numbers_are_counted_over_all_slabs(tmp_path, series, capsys):
    path = series((".nii", "<f4"))
    image = nib.load(path)
    values = np.asarray(image.get_fdata(), np.float32)
    values[2, 3, 4, 5], values[5, 5, 9, 7] = np.nan, np.inf
    nib.save(nib.Nifti1Image(values, image.affine), path)
    command = ["dti", "--dwi", str(path), "--out", str(tmp_path / "o" / "x"), "--max-memory", "0.0003"]
    assert main([*command, "--device", "cpu"]) == 0
    assert "2 of 86086 signal values are NaN or infinite; their voxels" in capsys.readouterr().err
    values[..., 5:15] = np.nan
    nib.save(nib.Nifti1Image(values, image.affine), path)
    assert main([*command, "--force", "--device", "cpu"]) == 3
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


@pytest.mark.slow
def test_a_series_larger_than_the_memory_allowed_is_fitted(tmp_path, rng):
    shape, volumes = (128, 128, 96), 90
    b, g = gradient_table(rng, 85, b0=5)
    path = tmp_path / "dwi.nii"
    header = nib.Nifti1Header()
    header.set_data_shape((*shape, volumes))
    header.set_data_dtype(np.float32)
    header.set_sform(np.diag([-2.0, 2.0, 2.0, 1.0]), 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    decay = np.exp(-b * 1e-3)
    with path.open("wb") as file:
        file.write(header.binaryblock + b"\0\0\0\0")
        for v in range(volumes):
            noise = rng.uniform(0.9, 1.1, np.prod(shape)).astype(np.float32)
            file.write((np.float32(1000 * decay[v]) * noise).tobytes())
    np.savetxt(tmp_path / "dwi.bval", b[None], fmt="%g")
    np.savetxt(tmp_path / "dwi.bvec", g.T)
    size = path.stat().st_size
    command = [sys.executable, "-m", "qsmengine", "dti", "--dwi", str(path), "--out", str(tmp_path / "o" / "x")]
    command += ["--max-memory", "0.1", "--device", "cpu", "-q", "--no-check"]
    limit = size + 400 * 2**20  # of addresses: the file itself is mapped
    run = subprocess.run(
        command,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit // 2, limit // 2)),
    )
    assert run.returncode == 0
    md = read_image(tmp_path / "o" / "x_MD.nii.gz").array
    np.testing.assert_allclose(md.mean(), 1e-3, rtol=0.02)


def test_shells_are_chosen_by_their_b_value():
    b = np.array([0, 1000, 5, 2000, 995, 3000, 1010, 2990])
    assert chosen_volumes(b, (1000.0,)).tolist() == [0, 1, 2, 4, 6]
    assert chosen_volumes(b, (1000.0, 3000.0)).tolist() == [0, 1, 2, 4, 5, 6, 7]
    with pytest.raises(InputError, match=r"b = 1500 .*shells: 1002, 2000, 2995"):
        chosen_volumes(b, (1500.0,))


def test_fit_of_one_shell_is_that_of_its_volumes_alone(tmp_path, series):
    path = series((".nii.gz", "<f4"))
    assert fit(path, tmp_path / "chosen" / "x", "--shells", "1000") == 0
    image, b, g = nib.load(path), np.loadtxt(tmp_path / "dwi.bval"), np.loadtxt(tmp_path / "dwi.bvec")
    alone = tmp_path / "alone"
    alone.mkdir()
    nib.save(image.slicer[..., :23], alone / "dwi.nii.gz")
    np.savetxt(alone / "dwi.bval", b[None, :23], fmt="%g")
    np.savetxt(alone / "dwi.bvec", g[:, :23])
    assert fit(alone / "dwi.nii.gz", tmp_path / "alone" / "x") == 0
    for name in ("x_FA.nii.gz", "x_tensor.nii.gz"):
        assert (tmp_path / "chosen" / name).read_bytes() == (alone / name).read_bytes()
    assert fit(path, tmp_path / "slabs" / "x", "--shells", "1000", "--max-memory", "0.0003") == 0
    assert (tmp_path / "slabs" / "x_FA.nii.gz").read_bytes() == (alone / "x_FA.nii.gz").read_bytes()
    assert fit(path, tmp_path / "no" / "x", "--shells", "700") == 3


@pytest.mark.parametrize(("method", "model"), [("wls", "tensor"), ("dki", "kurtosis"), ("free_water", "fwdti")])
def test_names_of_bids_derivatives(tmp_path, series, method, model):
    path = series((".nii.gz", "<f4"))
    assert fit(path, tmp_path / "o" / "sub-1", "--fit", method, "--names", "bids") == 0
    names = {p.name for p in (tmp_path / "o").iterdir()}
    assert f"sub-1_model-{model}_param-fa_dwimap.nii.gz" in names
    assert f"sub-1_model-{model}_param-colourfa_dwimap.json" in names
    param = {"dki": "mk", "free_water": "freewater"}.get(method, "mo")
    assert f"sub-1_model-{model}_param-{param}_dwimap.nii.gz" in names


def test_names_of_bids_derivatives_of_a_denoised_series_follow_the_fit(tmp_path, series):
    path = series((".nii.gz", "<f4"))
    denoised = ("--fit", "dki", "--set", "denoise=mppca", "--names", "bids")
    assert fit(path, tmp_path / "o" / "sub-1", *denoised) == 0
    names = {p.name for p in (tmp_path / "o").iterdir()}
    assert "sub-1_model-kurtosis_param-mk_dwimap.nii.gz" in names
    assert not any("model-tensor" in name for name in names)


@pytest.mark.parametrize("names", ["fsl", "bids"])
def test_forced_fit_removes_maps_of_its_model_that_it_does_not_make(tmp_path, series, names):
    path, out = series((".nii.gz", "<f4")), tmp_path / "o"
    assert fit(path, out / "sub-1", "--fit", "restore", "--names", names) == 0
    assert any("outliers" in p.name for p in out.iterdir())
    (out / "sub-1_notes.json").write_text("{}")
    assert fit(path, out / "sub-1", "--fit", "wls", "--names", names, "--force") == 0
    left = {p.name for p in out.iterdir()}
    assert not any("outliers" in name for name in left)
    assert fit(path, tmp_path / "new" / "sub-1", "--fit", "wls", "--names", names) == 0
    assert left == {p.name for p in (tmp_path / "new").iterdir()} | {"sub-1_notes.json"}

import json

import numpy as np
import pytest

import qsmengine as qe
from qsmengine.backend.device import resolve_device
from qsmengine.cli.main import main
from qsmengine.grid import Grid
from qsmengine.io.nifti import read_image, write_image
from qsmengine.stages.denoise.noise import repeated_noise

SHAPE = (20, 18, 16)
GRID = Grid(SHAPE, np.diag([-1.0, 1.0, 1.5, 1.0]))


@pytest.fixture
def images(rng):
    base = 100 + 20 * (np.arange(20)[:, None, None] > 9)
    return [(base + 5 * rng.normal(size=SHAPE)).astype(np.float32) for _ in range(2)]


@pytest.fixture
def files(tmp_path, images):
    folder = tmp_path / "in"
    folder.mkdir()
    names = [folder / "A.nii.gz", folder / "B.nii"]
    for path, image in zip(names, images, strict=True):
        write_image(path, image, GRID)
    (folder / "A.json").write_text(json.dumps({"EchoTime": 0.01, "SeriesDescription": "x"}))
    return names


def run(files, out, *options):
    """The command on the CPU, where the Python interface filters NumPy arrays: a GPU rounds otherwise."""
    images = list(map(str, files))
    return main(["denoise", *images, "--out", str(out), "--device", "cpu", "--search-radius", "2", *options])


def test_files_are_filtered_together_and_named_after_the_inputs(files, images, tmp_path, capsys):
    assert run(files, tmp_path / "out", "--sigma", "5") == 0
    written = [tmp_path / "out" / f"{name}_desc-denoised.nii.gz" for name in "AB"]
    assert capsys.readouterr().out.split() == [str(path) for path in written]
    expected = qe.denoise(np.stack(images, axis=-1), GRID, sigma=5.0, params={"search_radius": 2})
    for c, path in enumerate(written):
        found = read_image(path)
        assert found.grid.matches(GRID)
        np.testing.assert_array_equal(found.array, expected[..., c])
    sidecar = json.loads((tmp_path / "out" / "A_desc-denoised.json").read_text())
    assert sidecar["EchoTime"] == 0.01
    assert sidecar["NoiseStandardDeviation"] == 5.0
    assert sidecar["Parameters"]["search_radius"] == 2
    assert "SeriesDescription" not in sidecar


def test_noise_map_mask_and_settings_from_files(files, images, tmp_path):
    noise, mask = np.full(SHAPE, 5.0, np.float32), np.zeros(SHAPE, np.uint8)
    mask[4:15, 3:15, 2:12] = 1
    write_image(tmp_path / "noise.nii.gz", noise, GRID)
    write_image(tmp_path / "mask.nii.gz", mask, GRID)
    options = ["--sigma", str(tmp_path / "noise.nii.gz"), "--mask", str(tmp_path / "mask.nii.gz")]
    assert run(files, tmp_path / "out", *options, "--h", "0.8", "--set", "d0=0", "--patch-radius", "2") == 0
    expected = qe.denoise(
        np.stack(images, axis=-1), GRID, sigma=noise, mask=mask > 0,
        params={"search_radius": 2, "patch_radius": 2, "h": 0.8, "d0": 0.0},
    )  # fmt: skip
    found = read_image(tmp_path / "out" / "B_desc-denoised.nii.gz").array
    np.testing.assert_array_equal(found, expected[..., 1])
    assert not found[mask == 0].any()


def test_second_pass_on_request(files, images, tmp_path):
    assert run(files, tmp_path / "out", "--sigma", "5", "--lmmse") == 0
    expected = qe.denoise(
        np.stack(images, axis=-1), GRID, sigma=5.0, params={"search_radius": 2, "lmmse": True}
    )
    found = read_image(tmp_path / "out" / "B_desc-denoised.nii.gz").array
    np.testing.assert_array_equal(found, expected[..., 1])
    assert json.loads((tmp_path / "out" / "B_desc-denoised.json").read_text())["Parameters"]["lmmse"] is True


def test_noise_is_estimated_when_not_given(files, images, tmp_path):
    assert run(files, tmp_path / "out") == 0
    found = read_image(tmp_path / "out" / "A_desc-denoised.nii.gz").array
    assert found[2:7].std() < 0.5 * images[0][2:7].std()


def test_map_of_the_noise_is_estimated_on_request(files, images, tmp_path):
    assert run(files, tmp_path / "out", "--sigma", "local") == 0
    found = read_image(tmp_path / "out" / "A_desc-denoised.nii.gz").array
    params = {"search_radius": 2, "patch_radius": 1, "h": 1.0, "rician": False}
    expected = qe.denoise(np.stack(images, axis=-1), GRID, sigma="local", params=params)
    np.testing.assert_array_equal(found, expected[..., 0])
    assert not np.array_equal(found, qe.denoise(np.stack(images, axis=-1), GRID, params=params)[..., 0])
    sidecar = json.loads((tmp_path / "out" / "A_desc-denoised.json").read_text())
    assert sidecar["NoiseStandardDeviation"] == "local"


@pytest.mark.parametrize("kind", ["global", "local"])
def test_repeats_of_one_image_show_the_noise(kind, files, images, tmp_path):
    options = ("--sigma", "repeats", "--set", f"noise={kind}")
    assert run(files, tmp_path / "out", *options) == 0
    found = read_image(tmp_path / "out" / "A_desc-denoised.nii.gz").array
    pair = np.stack(images, axis=-1)
    sigma = repeated_noise(pair, None, device=resolve_device("cpu"), local=kind == "local")
    assert np.median(sigma) == pytest.approx(5.0, rel=0.1)
    params = {"search_radius": 2, "patch_radius": 1, "h": 1.0, "rician": False, "noise": kind}
    np.testing.assert_array_equal(found, qe.denoise(pair, GRID, sigma=sigma, params=params)[..., 0])
    assert run(files[:1], tmp_path / "alone", *options) == 3
    assert not (tmp_path / "alone").exists()


def test_volumes_of_a_series_are_components_and_bids_names_stay_valid(images, tmp_path):
    path = tmp_path / "sub-01_part-real_MEGRE.nii.gz"
    write_image(path, np.stack(images, axis=-1), GRID)
    assert run([path], tmp_path / "out", "--sigma", "5") == 0
    found = read_image(tmp_path / "out" / "sub-01_part-real_desc-denoised_MEGRE.nii.gz").array
    expected = qe.denoise(np.stack(images, axis=-1), GRID, sigma=[5.0, 5.0], params={"search_radius": 2})
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--sigma", "0"], 2, "--sigma"),
        (["--sigma", "nan"], 2, "--sigma"),
        (["--sigma", "missing.nii"], 3, "missing.nii"),
        (["--patch-radius", "9"], 2, "patch_radius"),
        (["--set", "hh=1"], 2, "hh"),
    ],
)
def test_wrong_options_are_named_and_nothing_is_written(options, code, message, files, tmp_path, capsys):
    assert run(files, tmp_path / "out", *options) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_grid_is_named_and_nothing_is_written(files, tmp_path, capsys):
    other = tmp_path / "C.nii"
    write_image(other, np.ones(SHAPE, np.float32), Grid(SHAPE, np.eye(4)))
    assert run([*files, other], tmp_path / "out", "--sigma", "5") == 3
    assert "C.nii" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_second_run_is_refused_and_equal_names_too(files, tmp_path, capsys):
    assert run(files, tmp_path / "out", "--sigma", "5") == 0
    assert run(files, tmp_path / "out", "--sigma", "5") == 2
    assert "--force" in capsys.readouterr().err
    assert run([files[0], files[0]], tmp_path / "new", "--sigma", "5") == 2
    assert "same name" in capsys.readouterr().err


def test_one_image_may_come_without_a_component_axis(images):
    flat = qe.denoise(images[0], GRID, sigma=5.0, params={"search_radius": 1})
    deep = qe.denoise(images[0][..., None], GRID, sigma=5.0, params={"search_radius": 1})
    assert flat.shape == SHAPE
    np.testing.assert_array_equal(flat, deep[..., 0])


@pytest.mark.parametrize(
    ("name", "sidecar", "message"),
    [
        ("sub-01_part-phase_MEGRE", {}, "complex-mnlm"),
        ("b", {"ImageType": ["ORIGINAL", "PRIMARY", "P", "NORM"]}, "complex-mnlm"),
        ("sub-01_dseg", {}, "a mean of labels is no label"),
    ],
)
def test_phase_and_labels_are_refused(name, sidecar, message, images, tmp_path, capsys):
    write_image(tmp_path / f"{name}.nii.gz", images[0], GRID)
    (tmp_path / f"{name}.json").write_text(json.dumps(sidecar))
    assert run([tmp_path / f"{name}.nii.gz"], tmp_path / "out") == 3
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

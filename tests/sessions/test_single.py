import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.errors import InputError, UsageError
from qsmengine.io.nifti import read_image, write_image
from qsmengine.sessions.single import StageRequest, run_stage
from tests.made_sessions import GAMMA, make_ball, write_ball, write_dwi


@pytest.fixture
def files(tmp_path):
    ball = make_ball(8)
    write_image(tmp_path / "ppm.nii.gz", ball.total_field * ball.mask, ball.series.grid)
    write_image(tmp_path / "hz.nii.gz", ball.total_field * ball.mask * GAMMA * 3e-6, ball.series.grid)
    write_image(tmp_path / "mask.nii.gz", ball.mask, ball.series.grid)
    (tmp_path / "ppm.json").write_text(json.dumps({"Units": "ppm"}))
    (tmp_path / "hz.json").write_text(json.dumps({"Units": "Hz", "MagneticFieldStrength": 3.0}))
    return tmp_path


def request(files, field="ppm.nii.gz", **changes):
    values = {
        "stage": "background",
        "method": "vsharp",
        "inputs": {"total_field": str(files / field), "mask": str(files / "mask.nii.gz")},
        "outputs": {"local_field": files / "out" / "local.nii.gz"},
        "settings": ["max_radius=6"],
    }
    return StageRequest(**(values | changes))


def test_field_in_hertz_gives_the_same_as_in_ppm(files):
    results = []
    for field in ("ppm.nii.gz", "hz.nii.gz"):
        path = run_stage(request(files, field, force=True), cpu())[0]
        results.append(read_image(path).array)
        assert json.loads((files / "out" / "local.json").read_text())["Units"] == "ppm"
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)


def test_sheared_axes_are_noted(files):
    for name in ("ppm", "mask"):
        image = nib.load(files / f"{name}.nii.gz")
        affine = image.affine.copy()
        affine[0, 1] += 0.3 * affine[1, 1]
        nib.save(nib.Nifti1Image(image.get_fdata(dtype="f4"), affine), files / f"{name}.nii.gz")
    notes: list[str] = []
    run_stage(request(files), cpu(), notes)
    assert [note for note in notes if "ppm.nii.gz: the sform's axes are not orthogonal" in note]


def test_field_of_unknown_unit_is_refused_and_the_remedy_works(files):
    (files / "ppm.json").unlink()
    with pytest.raises(InputError, match="Units: not found for total_field; give --unit total_field=ppm"):
        run_stage(request(files), cpu())
    assert run_stage(request(files, units={"total_field": "ppm"}), cpu())


def test_several_outputs_can_be_asked_for(files):
    outputs = {"local_field": files / "l.nii.gz", "mask": files / "m.nii.gz"}
    assert run_stage(request(files, outputs=outputs), cpu()) == list(outputs.values())
    assert set(np.unique(read_image(files / "m.nii.gz").array)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": "backgroud"}, "did you mean background"),
        ({"method": "vshrp"}, "did you mean vsharp"),
        ({"settings": ["max_radus=3"]}, "did you mean background.max_radius"),
        ({"settings": ["max_radius"]}, "write parameter=value"),
        ({"outputs": {"local_feld": "x"}}, "unknown output 'local_feld'; did you mean local_field"),
        ({"outputs": {}}, "vsharp makes local_field, mask"),
        ({"inputs": {}}, "needs --input total_field=F mask=F"),
        ({"inputs": {"total_feld": "x"}}, "did you mean total_field"),
    ],
)
def test_wrong_names_are_refused_with_the_near_one(files, changes, message):
    with pytest.raises(UsageError, match=message):
        run_stage(request(files, **changes), cpu())


def test_output_must_be_an_image_and_not_exist(files):
    with pytest.raises(UsageError, match=r"written as \.nii or"):
        run_stage(request(files, outputs={"mask": files / "x.png"}), cpu())
    run_stage(request(files), cpu())
    with pytest.raises(UsageError, match="exists already"):
        run_stage(request(files), cpu())


def test_grids_must_match(files):
    image = read_image(files / "mask.nii.gz")
    affine = image.grid.affine.copy()
    affine[0, 3] += 5
    write_image(files / "mask.nii.gz", image.array, image.grid.replace(affine=affine))
    with pytest.raises(InputError, match=r"mask\.nii\.gz: affine"):
        run_stage(request(files), cpu())


def test_echoes_are_joined_and_their_times_read_from_sidecars(tmp_path):
    ball = make_ball(9)
    paths = write_ball(tmp_path, ball)
    write_image(tmp_path / "mask.nii.gz", ball.mask, ball.series.grid)
    inputs = {"magnitude": ",".join(map(str, paths["mag"])), "mask": str(tmp_path / "mask.nii.gz")}
    asked = StageRequest("relaxometry", "arlo", inputs, {"r2star": tmp_path / "r.nii.gz"})
    run_stage(asked, cpu())
    assert np.median(read_image(tmp_path / "r.nii.gz").array[ball.mask]) == pytest.approx(25.0, rel=0.01)


def test_missing_echo_times_are_asked_for(tmp_path):
    ball = make_ball(9)
    write_image(tmp_path / "mag.nii.gz", ball.series.magnitude, ball.series.grid)
    write_image(tmp_path / "mask.nii.gz", ball.mask, ball.series.grid)
    inputs = {"magnitude": str(tmp_path / "mag.nii.gz"), "mask": str(tmp_path / "mask.nii.gz")}
    asked = StageRequest("relaxometry", "arlo", inputs, {"r2star": tmp_path / "r.nii.gz"})
    with pytest.raises(UsageError, match="add --input echo_times="):
        run_stage(asked, cpu())


def test_flip_angles_and_times_are_given_as_numbers(tmp_path):
    rng, grid = np.random.default_rng(5), make_ball(9).series.grid
    r1 = rng.uniform(0.5, 2.0, grid.shape).astype(np.float32)
    paths = []
    for flip in (4.0, 20.0):
        angle, e1 = np.radians(flip), np.exp(-0.02 * r1)
        paths.append(tmp_path / f"flip-{flip:g}.nii.gz")
        write_image(paths[-1], 1000 * np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle)), grid)
    write_image(tmp_path / "mask.nii.gz", np.ones(grid.shape, bool), grid)
    inputs = {
        "spoiled": ",".join(map(str, paths)), "mask": str(tmp_path / "mask.nii.gz"), "flip_angles": "4,20",
        "repetition_times": "0.02,0.02", "spoiled_times": "0.003,0.003",
    }  # fmt: skip
    asked = StageRequest("flip-angles", "linear", inputs, {"r1": tmp_path / "r1.nii.gz"})
    run_stage(asked, cpu())
    np.testing.assert_allclose(read_image(tmp_path / "r1.nii.gz").array, r1, rtol=1e-4)
    wrong = replace(asked, inputs={**inputs, "flip_angles": "4,x"}, force=True)
    with pytest.raises(UsageError, match="numbers of degrees"):
        run_stage(wrong, cpu())


def diffusion_inputs(folder):
    """A series and a mask of all voxels as inputs of a fit, and the series' anisotropy."""
    path, anisotropy = write_dwi(folder)
    write_image(folder / "mask.nii.gz", np.ones(anisotropy.shape, bool), read_image(path).grid)
    stem = str(path).removesuffix(".nii.gz")
    inputs = {
        "signal": str(path), "mask": str(folder / "mask.nii.gz"), "b_values": f"{stem}.bval",
        "b_vectors": f"{stem}.bvec",
    }  # fmt: skip
    return inputs, anisotropy


def test_tensor_from_files(tmp_path):
    inputs, anisotropy = diffusion_inputs(tmp_path)
    run_stage(StageRequest("diffusion", "wls", inputs, {"fa": tmp_path / "fa.nii.gz"}), cpu())
    np.testing.assert_allclose(read_image(tmp_path / "fa.nii.gz").array, anisotropy, atol=2e-4)


@pytest.mark.parametrize("setting", ["maximum_b=1000", "diffusion.mask=none"])
def test_parameters_of_sessions_are_refused_for_a_single_fit(tmp_path, setting):
    inputs, _ = diffusion_inputs(tmp_path)
    asked = StageRequest("diffusion", "wls", inputs, {"fa": tmp_path / "fa.nii.gz"}, [setting])
    name = setting.partition("=")[0].removeprefix("diffusion.")
    with pytest.raises(UsageError, match=f"--set {name}: .* only sessions"):
        run_stage(asked, cpu())
    assert not (tmp_path / "fa.nii.gz").exists()


def stage_on(files, stage, method, output, **arrays):
    """Run a stage on arrays on the grid of `files`; echo times are numbers."""
    grid = read_image(files / "mask.nii.gz")[1]
    inputs = {"mask": str(files / "mask.nii.gz")}
    for name, value in arrays.items():
        if name == "echo_times":
            inputs[name] = ",".join(map(str, value))
            continue
        array, unit = value if isinstance(value, tuple) else (value, None)
        write_image(files / f"{name}.nii.gz", array.astype(np.float32), grid)
        (files / f"{name}.json").write_text(json.dumps({} if unit is None else {"Units": unit}))
        inputs[name] = str(files / f"{name}.nii.gz")
    asked = StageRequest(
        stage, method, inputs, {output: files / "out" / "made.nii.gz"}, field_strength=3.0, force=True
    )
    return run_stage(asked, cpu())


@pytest.fixture
def rates(files, rng):
    shape = read_image(files / "mask.nii.gz").array.shape
    return {"chi": rng.normal(0, 0.05, shape), "r2star": rng.uniform(18, 22, shape), "r2": np.full(shape, 14.0)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"chi": ("chi", 1e3, "ppb")}, "chi.nii.gz: Units: 'ppb', but chi is needed in ppm"),
        ({"chi": ("chi", 1e3, None)}, "chi.nii.gz: Units: the median of chi .* Hz or ppb"),
        ({"r2": ("r2", 1e-3, "1/ms")}, "r2.nii.gz: Units: '1/ms', but r2 is needed in 1/s"),
        ({"r2": ("r2", 1e-3, None)}, "r2.nii.gz: Units: the median of r2 is 0.014 1/s, below that of water"),
        ({"r2": ("r2star", 1, None), "r2star": ("r2", 1, None)}, r"R2 is not below R2\* in 100 % of the mask"),
        ({"r2": ("r2star", 1, None)}, r"R2 is not below R2\* in 100 % of the mask"),
        ({"chi": ("chi", 1e2, None)}, "chi.nii.gz: Units: the median of chi .* Hz or ppb"),
    ],
)
def test_maps_in_another_unit_are_refused(files, rates, changed, message):
    given = {name: (rates[of] * factor, unit) for name, (of, factor, unit) in changed.items()}
    assert stage_on(files, "chi-separation", "r2prime", "chi_positive", **rates)
    with pytest.raises(InputError, match=message):
        stage_on(files, "chi-separation", "r2prime", "chi_positive", **(rates | given))


def test_phase_in_units_of_a_scanner_and_exchanged_images_are_refused(files, rng):
    shape = (*read_image(files / "mask.nii.gz").array.shape, 2)
    phase, magnitude = rng.uniform(-np.pi, np.pi, shape), np.full(shape, 100.0)
    magnitude[..., 1] = 60.0
    given = {"phase": phase, "magnitude": magnitude, "echo_times": (0.004, 0.008)}
    assert stage_on(files, "unwrap", "romeo", "unwrapped", **given)
    for wrong, message in (
        ({"phase": phase * 180 / np.pi}, r"phase.nii.gz: phase: values span .* wrapped to -pi .. pi"),
        ({"magnitude": phase}, r"magnitude.nii.gz: values span .* is this the phase"),
    ):
        with pytest.raises(InputError, match=message):
            stage_on(files, "unwrap", "romeo", "unwrapped", **(given | wrong))
    decay = {"magnitude": magnitude[..., ::-1], "echo_times": (0.004, 0.008)}
    with pytest.raises(InputError, match="the signal grows with the echo time"):
        stage_on(files, "relaxometry", "arlo", "r2star", **decay)


def test_a_unit_that_contradicts_the_sidecar_or_names_no_field_is_refused(files):
    with pytest.raises(InputError, match="Units: 'Hz', but --unit total_field=ppm is given"):
        run_stage(request(files, "hz.nii.gz", units={"total_field": "ppm"}), cpu())
    with pytest.raises(UsageError, match="local_field is no field among the inputs; fields: total_field"):
        run_stage(request(files, units={"local_field": "ppm"}), cpu())

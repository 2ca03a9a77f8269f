import json

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.errors import InputError, UsageError
from qsmengine.io.nifti import read_image, write_image
from qsmengine.sessions.qsm_ci import SPANS, CiRequest, nested, run_qsm_ci
from qsmengine.stages.registry import methods_of
from tests.made_sessions import ECHO_TIMES, make_ball

SETTINGS = ("background=vsharp", "background.max_radius=6", "inversion=tkd")


@pytest.fixture
def folder(tmp_path):
    ball = make_ball(7)
    inputs = tmp_path / "input"
    inputs.mkdir()
    grid = ball.series.grid
    write_image(inputs / "phase.nii.gz", ball.series.phase, grid)
    write_image(inputs / "magnitude.nii.gz", ball.series.magnitude, grid)
    write_image(inputs / "mask.nii.gz", ball.mask, grid)
    write_image(inputs / "totalfield.nii.gz", ball.total_field * ball.mask, grid)
    params = {"TE": ECHO_TIMES, "B0": 3.0, "B0_dir": [0, 0, 1], "voxel_size": [2, 2, 2]}
    (inputs / "params.json").write_text(json.dumps(params))
    return inputs


def run(folder, stage, out, *, settings=SETTINGS, methods=()):
    path, _ = run_qsm_ci(CiRequest(stage, folder, folder.parent / out, methods, settings=settings), cpu())
    return path


def test_field_mapping_gives_the_field_in_ppm(folder):
    path = run(folder, "field-mapping", "a")
    assert path.name == "totalfield.nii.gz"
    mask = read_image(folder / "mask.nii.gz").array > 0
    expected = read_image(folder / "totalfield.nii.gz").array
    error = (read_image(path).array - expected)[mask]
    assert np.median(np.abs(error - np.median(error))) < 0.01 * expected[mask].std()


def test_span_equals_its_stages_one_after_the_other(folder):
    span = read_image(run(folder, "bfr+dipole", "a")).array
    local = run(folder, "bfr", "b")
    assert local.name == "localfield.nii.gz"
    local.rename(folder / "localfield.nii.gz")
    np.testing.assert_allclose(read_image(run(folder, "dipole", "c")).array, span, atol=1e-6)


def test_end_to_end_and_unwrap_bfr_write_their_output_alone(folder):
    for stage, name in (("end-to-end", "chimap.nii.gz"), ("unwrap+bfr", "localfield.nii.gz")):
        out = run(folder, stage, stage).parent
        assert [p.name for p in out.iterdir()] == [name]
        assert np.isfinite(read_image(out / name).array).all()


def test_single_step_method_is_named_alone_or_set(folder):
    by_setting = run(folder, "bfr+dipole", "a", settings=("single_step=tfi", "single_step.iterations=20"))
    options = {"settings": ("single_step.iterations=20",), "methods": ("tfi",)}
    by_method = run(folder, "bfr+dipole", "b", **options)
    assert by_setting.read_bytes() == by_method.read_bytes()
    assert read_image(by_method).array.any()
    with pytest.raises(UsageError, match="at most 1 methods: single_step"):
        run(folder, "bfr+dipole", "c", methods=("vsharp", "tfi"))


def test_method_names_the_parts_of_a_span(folder):
    by_setting = run(folder, "bfr+dipole", "a")
    by_method = run(
        folder,
        "bfr+dipole",
        "b",
        settings=(
            "background=vsharp",
            "background.max_radius=6",
        ),
        methods=("vsharp", "tkd"),
    )
    assert by_setting.read_bytes() == by_method.read_bytes()
    with pytest.raises(UsageError, match="background \\+ inversion"):
        run(folder, "bfr+dipole", "c", methods=("tkd",))


def test_config_json_overrides_and_settings_win(folder):
    (folder / "config.json").write_text(
        json.dumps({"inversion": {"method": "tkd"}, "background": {"method": "vsharp", "max_radius": 4}})
    )
    small = run(folder, "bfr", "a", settings=())
    wide = run(
        folder,
        "bfr",
        "b",
        settings=(
            "background=vsharp",
            "background.max_radius=6",
        ),
    )
    assert small.read_bytes() != wide.read_bytes()


def test_voxel_size_and_b0_come_from_params(folder):
    plain = run(folder, "bfr+dipole", "a")
    params = json.loads((folder / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps(params | {"B0_dir": [1, 0, 0]}))
    assert run(folder, "bfr+dipole", "b").read_bytes() != plain.read_bytes()


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        ({}, []),
        ({"B0_dir": [0, 0, -1]}, []),
        ({"B0_dir": [0, 1, 1]}, ["B0_dir: (0, 0.7071, 0.7071) is used, though mask.nii.gz has (0, 0, 1)"]),
        ({"voxel_size": [2, 2, 3]}, ["voxel_size: (2, 2, 3) is used, though mask.nii.gz has (2, 2, 2)"]),
    ],
)
def test_params_that_differ_from_the_header_are_noted(folder, change, notes):
    path = folder / "params.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    _, found = run_qsm_ci(CiRequest("bfr+dipole", folder, folder.parent / "a", settings=SETTINGS), cpu())
    assert [note for note in found if "is used" in note] == [f"{path}: {note}" for note in notes]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"B0": None}, "params.json: B0: missing"),
        ({"B0_dir": [0, 1]}, "params.json: B0_dir: .* need 3 numbers"),
        ({"voxel_size": ["a", 1, 1]}, "voxel_size: .* is not numeric"),
        ({"TE": [4, 9, 14]}, "EchoTime"),
        ({"TE": [0.004]}, "3 echoes, params.json has 1"),
    ],
)
def test_wrong_params_are_refused_by_name(folder, change, message):
    params = json.loads((folder / "params.json").read_text()) | change
    (folder / "params.json").write_text(json.dumps(params))
    with pytest.raises(InputError, match=message):
        run(folder, "field-mapping", "a")
    assert not (folder.parent / "a").exists()


def test_unknown_stage_suggests_a_near_one(folder):
    with pytest.raises(UsageError, match="did you mean dipole"):
        run(folder, "dipol", "a")


def test_empty_mask_is_refused(folder):
    image = read_image(folder / "mask.nii.gz")
    write_image(folder / "mask.nii.gz", image.array * 0, image.grid)
    with pytest.raises(InputError, match="empty mask"):
        run(folder, "bfr", "a")


def test_dotted_and_nested_overrides_are_the_same():
    assert nested({"phase-offset.method": "mcpc3ds", "inversion": {"lambda": 1}}) == nested(
        {"phase_offset": {"method": "mcpc3ds"}, "inversion.lambda": 1}
    )


def fitting_methods():
    """Every method of the sections that --method names, in the first span whose folder holds its inputs."""
    folders = {
        "field-mapping": {"phase", "magnitude", "mask", "echo_times"},
        "bfr": {"total_field", "mask"},
        "dipole": {"local_field", "mask"},
        "unwrap+bfr": {"phase", "magnitude", "mask", "echo_times"},
        "bfr+dipole": {"total_field", "mask"},
        "end-to-end": {"phase", "magnitude", "mask", "echo_times"},
    }
    places = (
        ("unwrap", ("field-mapping",)),
        ("background", ("bfr", "unwrap+bfr")),
        ("inversion", ("dipole",)),
        ("single-step", ("bfr+dipole", "end-to-end")),
    )
    for stage, spans in places:
        for method in methods_of(stage).values():
            yield next((s for s in spans if set(method.required_inputs) <= folders[s]), None), method


@pytest.mark.parametrize(("span", "method"), list(fitting_methods()), ids=lambda v: getattr(v, "name", v))
def test_every_method_runs_in_a_span_that_holds_its_inputs(folder, span, method):
    assert span is not None
    ball = make_ball(7)
    if span == "dipole":
        local = np.where(ball.mask, ball.total_field - ball.total_field[ball.mask].mean(), 0)
        write_image(folder / "localfield.nii.gz", local, ball.series.grid)
    names = (("romeo",) if span in {"unwrap+bfr", "end-to-end"} else ()) + (method.name,)
    few = {"iterations": 5, "max_radius": 6}
    section = method.stage.replace("-", "_")
    settings = [f"{section}.{k}={v}" for k, v in few.items() if k in method.params.model_fields]
    path = run(folder, span, "o", settings=settings, methods=names)
    image = read_image(path).array
    assert path.name == f"{SPANS[span].output}.nii.gz"
    assert image.shape == ball.mask.shape
    assert np.isfinite(image).all()
    assert np.abs(image[ball.mask]).max() > 0
    assert not image[~ball.mask].any()


def test_a_method_whose_input_the_folder_lacks_is_refused(folder):
    with pytest.raises(UsageError, match="phase_lbv needs phase"):
        run(folder, "bfr", "a", settings=(), methods=("phase_lbv",))


def test_flat_parameter_belongs_to_the_named_method(folder):
    by_setting = run(folder, "bfr", "a", settings=("background.max_radius=5",), methods=("vsharp",))
    (folder / "config.json").write_text(json.dumps({"max_radius": 5}))
    assert run(folder, "bfr", "b", settings=(), methods=("vsharp",)).read_bytes() == by_setting.read_bytes()


def test_flat_parameter_of_two_named_methods_is_refused(folder):
    (folder / "config.json").write_text(json.dumps({"threshold": 0.1}))
    with pytest.raises(
        UsageError, match=r"threshold is ambiguous: background\.threshold or inversion\.threshold"
    ):
        run(folder, "bfr+dipole", "a", settings=(), methods=("vsharp", "tkd"))


def test_inversion_of_a_local_field_has_a_default_of_its_own(folder):
    (folder / "totalfield.nii.gz").rename(folder / "localfield.nii.gz")
    short = ("inversion.iterations=3",)
    default = run(folder, "dipole", "a", settings=short)
    named = run(folder, "dipole", "b", settings=short, methods=("weighted_tv",))
    other = run(folder, "dipole", "c", settings=("inversion=weak_harmonic", *short))
    assert default.read_bytes() == named.read_bytes() != other.read_bytes()


def test_phase_in_units_of_a_scanner_is_refused(folder):
    phase, grid, _ = read_image(folder / "phase.nii.gz")
    write_image(folder / "phase.nii.gz", phase * np.float32(4096 / np.pi), grid)
    with pytest.raises(InputError, match=r"phase.nii.gz: phase: values span .* radians, wrapped to -pi .. pi"):
        run(folder, "field-mapping", "a")

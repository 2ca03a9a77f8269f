import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import qsmengine as qe
from qsmengine.backend.device import to_numpy
from qsmengine.stages.phase.laplacian import LaplacianParams, laplacian
from tests.made_sessions import make_ball, write_dwi


def in_mm(series):
    """The series on a grid whose lengths are in mm, whatever the size of the object."""
    return replace(series, grid=series.grid.replace(length_scale=1.0))


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, qsmengine;"
        "heavy = {'cupy', 'pandas', 'scipy', 'nibabel', 'pydantic', 'typer'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", qe.__all__)
def test_every_public_name_is_there(name):
    assert getattr(qe, name).__module__.startswith("qsmengine.")
    assert name in dir(qe)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="denoize"):
        _ = qe.denoize


def test_arrays_go_in_and_arrays_come_out():
    ball = make_ball(30)
    series = ball.series
    result = qe.reconstruct_qsm(
        series.magnitude, series.phase, series.echo_times, series.grid, mask=ball.mask, device="cpu",
        config={"inversion": {"method": "tkd"}, "background": {"method": "vsharp", "max_radius": 6}},
    )  # fmt: skip
    assert isinstance(result.chi, np.ndarray)
    assert result.chi.shape == series.grid.shape
    assert result["r2star"].dtype == np.float32


def test_steps_one_by_one_give_what_the_whole_gives():
    ball = make_ball(31)
    series, params = in_mm(ball.series), {"peel": 1}
    config = {"phase_offset": None, "inversion": {"method": "tkd"}, "background": params}
    whole = qe.reconstruct_qsm(
        series.magnitude, series.phase, series.echo_times, series.grid, mask=ball.mask, config=config
    )
    unwrapped = qe.unwrap(series.phase, series.magnitude, ball.mask, series.echo_times, series.grid)
    turns = (unwrapped - series.phase)[ball.mask] / (2 * np.pi)
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-4)
    local, mask = qe.remove_background(whole.total_field, ball.mask, series.grid, params=params)
    np.testing.assert_array_equal(local, whole.local_field)
    chi = qe.invert_dipole(local, mask, series.grid, method="tkd")
    np.testing.assert_allclose(chi[mask] - chi[mask].mean(dtype=float), whole.chi[mask], atol=1e-6)


def test_weight_is_taken_by_the_method_that_knows_it_and_refused_by_the_other():
    ball = make_ball(32)
    left = np.arange(ball.mask.shape[0])[:, None, None] < ball.mask.shape[0] // 2
    weight = np.where(ball.mask & left, 1.0, 0.0).astype(np.float32)
    few = {"iterations": 5}
    inverted: dict[str, Any] = {"grid": ball.series.grid, "params": few, "weight": weight}
    weighted = qe.invert_dipole(ball.total_field, ball.mask, **inverted)
    unseen = np.where(left, ball.total_field, 0.0).astype(np.float32)
    np.testing.assert_array_equal(weighted, qe.invert_dipole(unseen, ball.mask, **inverted))
    plain = qe.invert_dipole(ball.total_field, ball.mask, ball.series.grid, params=few)
    assert np.abs(plain - weighted).max() > 0.1 * np.abs(plain).max()
    with pytest.raises(qe.UsageError, match="unknown: weight"):
        qe.invert_dipole(ball.total_field, ball.mask, ball.series.grid, method="tkd", weight=weight)


def test_laplacian_unwrapping_ignores_the_magnitude_that_romeo_needs(device):
    ball = make_ball(34)
    series, mask = in_mm(ball.series), device.asarray(ball.mask, bool)
    phase, magnitude = device.asarray(series.phase), device.asarray(series.magnitude)
    plain = qe.unwrap(phase, None, mask, series.echo_times, series.grid, method="laplacian")
    assert isinstance(plain, type(phase))
    direct = laplacian(phase, mask, series.echo_times, series.grid, LaplacianParams(), device=device)
    np.testing.assert_array_equal(to_numpy(plain), to_numpy(direct))
    other = qe.unwrap(phase, magnitude, mask, series.echo_times, series.grid, method="laplacian")
    np.testing.assert_array_equal(to_numpy(other), to_numpy(direct))
    with pytest.raises(qe.UsageError, match="missing: magnitude"):
        qe.unwrap(phase, None, mask, series.echo_times, series.grid)


def test_background_is_removed_straight_from_wrapped_phase(device):
    ball = make_ball(35)
    series, mask = ball.series, device.asarray(ball.mask, bool)
    images = {"phase": device.asarray(series.phase), "magnitude": device.asarray(series.magnitude)}
    local, inside = qe.remove_background(
        None, mask, series.grid, method="phase_lbv", echo_times=series.echo_times, **images
    )
    assert isinstance(local, type(mask))
    reference, _ = qe.remove_background(ball.total_field, ball.mask, series.grid, params={"peel": 1})
    error = np.abs(to_numpy(local) - reference)[to_numpy(inside)]
    assert error.mean() < 0.02 * np.abs(reference).max()
    with pytest.raises(qe.UsageError, match="missing: total_field; unknown: echo_times, magnitude, phase"):
        qe.remove_background(None, mask, series.grid, echo_times=series.echo_times, **images)
    with pytest.raises(qe.UsageError, match="missing: none; unknown: total_field"):
        qe.remove_background(
            ball.total_field, mask, series.grid, method="phase_lbv", echo_times=series.echo_times, **images
        )


def test_wrong_parameter_is_named():
    ball = make_ball(33)
    with pytest.raises(qe.UsageError, match=r"did you mean background\.peel"):
        qe.remove_background(ball.total_field, ball.mask, ball.series.grid, params={"pel": 3})


def test_tensor_from_arrays(tmp_path):
    path, anisotropy = write_dwi(tmp_path)
    series = qe.load_dwi(path).series
    for method in ("ols", "wls"):
        maps = qe.fit_tensor(series.signal, series.b_values, series.b_vectors, series.grid, method=method)
        np.testing.assert_allclose(maps["fa"], anisotropy, atol=2e-4)


@pytest.fixture(scope="module")
def ball():
    return make_ball(8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"phase": np.degrees(a["phase"])}, r"phase: values span .* radians, wrapped"),
        (
            lambda a: {"phase": a["phase"] / np.pi},
            "phase in half turns: multiply it by pi",
        ),
        (lambda a: {"phase": a["phase"] / (2 * np.pi) % 1}, "phase in turns: multiply it by 2 pi"),
        (lambda a: {"phase": np.rint(a["phase"]).astype(np.int16)}, "phase: whole numbers"),
        (
            lambda a: {"magnitude": a["magnitude"] * np.exp(1j * a["phase"])},
            "magnitude is complex",
        ),
        (lambda a: {"magnitude": a["magnitude"].tolist()}, "magnitude is a list; an array is needed"),
        (lambda a: {"magnitude": np.ma.masked_less(a["magnitude"], 1e9)}, "magnitude has masked elements"),
        (
            lambda a: {"mask": np.where(a["mask"], 1.0, np.nan)},
            "mask has values that are negative or",
        ),
        (lambda a: {"mask": 0.4 * a["mask"]}, "mask has values between 0 and 1: choose a threshold"),
        (lambda a: {"mask": np.stack([a["mask"]] * 2, axis=3)}, "mask has shape"),
        (lambda a: {"mask": "brain"}, "mask is a str; an array is needed"),
    ],
)
def test_arrays_of_another_kind_are_refused(ball, change, message):
    arrays = {"magnitude": ball.series.magnitude, "phase": ball.series.phase, "mask": ball.mask}
    changed = arrays | change(arrays)
    with pytest.raises(qe.InputError, match=message):
        qe.reconstruct_qsm(
            changed["magnitude"], changed["phase"], ball.series.echo_times, ball.series.grid,
            mask=changed["mask"], device="cpu",
        )  # fmt: skip
    if "mask" in change(arrays):
        with pytest.raises(qe.InputError, match=message):
            qe.invert_dipole(ball.total_field, changed["mask"], ball.series.grid, method="tkd", device="cpu")


@pytest.mark.parametrize("kind", [np.uint8, np.float32, ">f4"])
def test_the_type_of_a_mask_does_not_matter(ball, kind):
    other = 255 * np.asfortranarray(ball.mask).astype(kind)
    first, second = (
        qe.invert_dipole(ball.total_field, mask, ball.series.grid, method="tkd", device="cpu")
        for mask in (ball.mask > 0, other)
    )
    np.testing.assert_array_equal(first, second)


def test_the_name_of_a_preset_in_place_of_sections_is_refused(ball):
    series = ball.series
    with pytest.raises(qe.UsageError, match=r"config='fast' is text: .* load_config\(preset='fast'\)"):
        qe.reconstruct_qsm(
            series.magnitude, series.phase, series.echo_times, series.grid,
            config="fast",  # type: ignore[arg-type]
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, b: (s, b * 1e6), r"bval: b-values up to 1e\+09 are not in s/mm\^2"),
        (lambda s, b: (s, -b), "bval: b-values must be finite and not negative"),
        (lambda s, b: (s, np.where(b > 0, np.nan, b)), "bval: b-values must be finite"),
        (lambda s, b: (s * (np.arange(len(b)) != 3), b), r"signal: volumes \[4\] have no signal"),
    ],
)
def test_diffusion_that_the_table_does_not_describe_is_refused(tmp_path, change, message):
    series = qe.load_dwi(write_dwi(tmp_path)[0]).series
    signal, b_values = change(series.signal, series.b_values)
    with pytest.raises(qe.InputError, match=message):
        qe.fit_tensor(signal, b_values, series.b_vectors, series.grid)

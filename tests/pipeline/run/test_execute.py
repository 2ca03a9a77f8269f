import dataclasses
from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.data import DwiSeries
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.dwi import load_dwi
from qsmengine.modalities.dwi.run import run_dti
from qsmengine.modalities.gre.run import arrays_of, object_grid, reconstruct, run_qsm
from qsmengine.modalities.gre.stages import plan_qsm
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.noise import MAX_WEIGHT, field_weight
from tests.made_sessions import R2STAR, make_ball, write_dwi


@pytest.fixture(scope="module")
def quick():
    return load_config(settings=["inversion=tkd", "background=vsharp", "background.max_radius=6"])


@pytest.fixture(scope="module")
def ball():
    return make_ball(1)


@pytest.fixture(scope="module")
def result(ball, quick):
    return run_qsm(ball.series, quick, cpu(), mask=ball.mask)


def test_total_field_is_the_sphere_s(ball, result):
    core = result.mask
    error = (result.total_field - ball.total_field)[core]
    assert np.std(error) < 0.01 * np.std(ball.total_field[core])


def test_relaxation_is_recovered(ball, result):
    assert np.median(result["r2star"][ball.mask]) == pytest.approx(R2STAR, rel=0.01)


def test_susceptibility_follows_the_truth_inside_the_inclusions(ball, result):
    inside = result.mask
    for value in (0.4, -0.4):
        region = inside & (ball.chi == value)
        rest = inside & (ball.chi == 0)
        assert result.chi[region].mean() - result.chi[rest].mean() == pytest.approx(value, rel=0.3)


def test_single_step_gives_chi_its_field_and_its_mask(ball):
    result = run_qsm(ball.series, load_config(settings=["single_step=tfi"]), cpu(), mask=ball.mask)
    assert result.record("single_step").solver.reason is not None
    assert result.record("background") is None
    for value in (0.4, -0.4):
        region = result.mask & (ball.chi == value)
        rest = result.mask & (ball.chi == 0)
        assert result.chi[region].mean() - result.chi[rest].mean() == pytest.approx(value, rel=0.3)
    assert result.local_field[result.mask].std() > 0
    assert not result.local_field[~result.mask].any()


def test_chi_is_referenced_to_the_mask_and_the_value_reported(result):
    assert result.chi[result.mask].mean(dtype=float) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(result.facts["value"])
    assert result.facts["count"] == result.mask.sum()


def test_arrays_that_pass_are_forgotten_and_the_others_unchanged(ball, quick, result):
    grid = object_grid(ball.series, quick, cpu(), mask=ball.mask)
    plan = plan_qsm(quick, grid, ball.series.n_echoes, has_mask=True)
    state = arrays_of(dataclasses.replace(ball.series, grid=grid), cpu(), mask=ball.mask)
    some = reconstruct(state, plan, grid, cpu(), passing=("unwrapped", "phase"), boxed=("magnitude",))
    assert state == {}
    assert set(some.maps) == set(some.units) == set(result.maps) - {"unwrapped", "phase"}
    assert {"unwrapped", "phase"} <= set(result.maps)
    for name in some.maps:
        np.testing.assert_array_equal(some[name], result[name])


def test_memory_order_of_the_input_does_not_matter(ball, result, quick):
    series = ball.series
    fortran = dataclasses.replace(
        series, magnitude=np.asfortranarray(series.magnitude), phase=np.asfortranarray(series.phase)
    )
    again = run_qsm(fortran, quick, cpu(), mask=np.asfortranarray(ball.mask))
    for name, array in result.maps.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_inputs_are_not_changed(quick):
    ball = make_ball(2)
    before = ball.series.magnitude.copy(), ball.series.phase.copy(), ball.mask.copy()
    run_qsm(ball.series, quick, cpu(), mask=ball.mask)
    for array, copy in zip((ball.series.magnitude, ball.series.phase, ball.mask), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_mask_is_computed_where_none_is_given(ball, quick):
    result = run_qsm(ball.series, quick, cpu())
    overlap = 2 * (result["brain_mask"] & ball.mask).sum() / (result["brain_mask"].sum() + ball.mask.sum())
    assert overlap > 0.9


def test_progress_announces_every_step_and_its_time(ball, quick):
    heard: list[Any] = []
    run_qsm(ball.series, quick, cpu(), mask=ball.mask, progress=heard.append)
    done = [p for p in heard if p.seconds is not None]
    assert [p.index for p in done] == list(range(1, done[-1].total + 1))
    assert all(p.fraction == 1.0 and p.seconds >= 0 for p in done)


def test_solver_tells_its_iterations_and_its_end(ball):
    config = load_config(
        settings=[
            "inversion.iterations=12",
            "inversion.tolerance=0",
            "background=vsharp",
            "background.max_radius=6",
        ]
    )
    heard: list[Any] = []
    result = run_qsm(ball.series, config, cpu(), mask=ball.mask, progress=heard.append)
    assert result.record("inversion").solver.iteration == 12
    assert result.record("inversion").solver.reason == "iterations"
    fractions = [p.fraction for p in heard if p.title.startswith("inversion")]
    assert fractions == sorted(fractions)


def test_reference_region_comes_from_labels(ball):
    config = load_config(
        settings=[
            "inversion=tkd",
            "background=vsharp",
            "background.max_radius=6",
            "reference.region=labels",
            "reference.label_values=[7]",
        ]
    )
    labels = np.where(ball.chi > 0, 7, 1)
    result = run_qsm(ball.series, config, cpu(), mask=ball.mask, labels=labels)
    assert result.chi[result.mask & (labels == 7)].mean(dtype=float) == pytest.approx(0, abs=1e-6)


def test_single_echo_runs_without_relaxometry(quick):
    ball = make_ball(3, echo_times=(0.008,))
    result = run_qsm(ball.series, quick, cpu(), mask=ball.mask)
    assert "r2star" not in result.maps
    assert np.isfinite(result.chi).all()
    assert len([note for note in result.notes if "two echoes" in note]) == 2


@pytest.fixture(scope="module")
def two_passes():
    """A ball with noise for phase in the middle of an inclusion, reconstructed in two passes."""
    ball = make_ball(5)
    rng = np.random.default_rng(6)
    hole = np.zeros(ball.mask.shape, bool)
    hole[12:15, 17:20, 15:18] = True
    phase = ball.series.phase.copy()
    phase[hole] = rng.uniform(-np.pi, np.pi, phase[hole].shape)
    series = dataclasses.replace(ball.series, phase=phase)
    config = load_config(
        settings=["inversion=tkd", "background=vsharp", "background.max_radius=6", "two_pass=phase_quality"]
    )
    given = ball.mask.copy()
    given[13, 18, 16] = False
    return ball, hole & given, given, run_qsm(series, config, cpu(), mask=given)


def test_two_passes_keep_both_maps_and_their_combination(two_passes):
    _, hole, given, result = two_passes
    first, second = result["reliable_mask"], result.mask
    assert not first[hole].any()
    assert second[hole].mean() > 0.5
    assert not (second & ~given).any()
    assert (result["reliable_chi"][~first] == 0).all()
    shared = first & second
    difference = (result.chi - result["reliable_chi"])[shared]
    np.testing.assert_allclose(difference, difference.mean(dtype=float), atol=1e-6)
    rest = second & ~first
    assert np.ptp((result.chi - result["filled_chi"])[rest]) < 1e-5


def test_sections_of_a_two_pass_run(two_passes):
    ran = [(r.step.section, r.step.inputs.get("mask")) for r in two_passes[3].records]
    names = [section for section, _ in ran]
    start = names.index("two_pass")
    assert ran[start : start + 6] == [
        ("two_pass", "brain_mask"), ("background", "reliable_mask"), ("inversion", "reliable_mask"),
        ("background", "filled_mask"), ("inversion", "local_mask"), ("combination", "local_mask"),
    ]  # fmt: skip
    assert names[start - 1 :: 7] == ["relaxometry", "reference"]


@pytest.mark.parametrize("given", [True, False])
def test_voxels_without_usable_values_are_in_no_mask(ball, quick, given):
    unknown = np.zeros(ball.mask.shape, bool)
    unknown[18:21, 17:20, 16:19] = True
    series = dataclasses.replace(
        ball.series,
        magnitude=np.where(unknown[..., None], np.float32(0), ball.series.magnitude),
        phase=np.where(unknown[..., None], np.float32(0), ball.series.phase),
        unknown=unknown,
    )
    result = run_qsm(series, quick, cpu(1), mask=ball.mask if given else None)
    for name in ("brain_mask", "local_mask"):
        assert not (result[name].astype(bool) & unknown).any()
        assert (result[name].astype(bool) & ball.mask).sum() > 1000
    known = result["brain_mask"].astype(bool) & ball.mask
    assert result["r2star"][known].mean() == pytest.approx(R2STAR, rel=0.02)


def test_wrong_arrays_are_refused_by_name(ball, quick):
    with pytest.raises(InputError, match=r"mask has shape \(3, 3, 3\)"):
        run_qsm(ball.series, quick, cpu(), mask=np.ones((3, 3, 3), bool))
    with pytest.raises(InputError, match="mask is empty"):
        run_qsm(ball.series, quick, cpu(), mask=np.zeros_like(ball.mask))
    with pytest.raises(InputError, match="labels has shape"):
        run_qsm(ball.series, quick, cpu(), mask=ball.mask, labels=np.ones((3, 3, 3), int))
    nameless = dataclasses.replace(ball.series, grid=ball.series.grid.replace(field_strength=None))
    with pytest.raises(InputError, match="MagneticFieldStrength"):
        run_qsm(nameless, quick, cpu(), mask=ball.mask)


def test_field_weight_is_median_noise_over_noise_and_zero_where_unknown():
    rng = np.random.default_rng(4)
    noise = rng.uniform(0.01, 0.1, (6, 5, 4)).astype(np.float32)
    mask = rng.random(noise.shape) < 0.8
    noise[0, 0, 0], noise[1, 0, 0], noise[2, 0, 0] = np.inf, np.nan, 0.0
    known = mask & np.isfinite(noise) & (noise > 0)
    weight = field_weight(noise, mask)
    expected = np.minimum(np.median(noise[known]) / noise[known], MAX_WEIGHT)
    np.testing.assert_allclose(weight[known], expected, rtol=1e-6)
    assert not weight[~known].any()


def test_tensor_of_a_prolate_phantom(tmp_path):
    path, anisotropy = write_dwi(tmp_path)
    result = run_dti(load_dwi(path).series, load_config(), cpu())
    np.testing.assert_allclose(result["fa"], anisotropy, atol=2e-4)


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (0.0, r"b-values are in s/mm\^2$"),
        (1.0, r"if they are in ms/um\^2, multiply them by 1000"),
        (0.001, r"if they are in s/um\^2, multiply them by 1e\+06"),
        (1000.0, "no volume counts as b = 0"),
    ],
)
def test_series_that_cannot_give_a_tensor_is_refused(b, message):
    grid = Grid.from_voxel_size((3, 3, 3), (2.0, 2.0, 2.0))
    vectors = np.eye(3)[np.arange(7) % 3]
    series = DwiSeries(np.ones((3, 3, 3, 7), np.float32), np.full(7, b), vectors, grid)
    with pytest.raises(InputError, match=message):
        run_dti(series, load_config(), cpu())

"""What a run makes on demand: uncertainty, susceptibility weighting, separation, reference to fluid."""

import json
from itertools import product
from typing import Any, cast

import numpy as np
import pytest

import qsmengine as qe
from qsmengine.backend.device import cpu
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.io.nifti import read_image, write_image
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.modalities.gre.session import QsmRequest, run_qsm_session
from qsmengine.modalities.gre.stages import plan_qsm
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.registry import get_method
from tests.made_sessions import make_ball, write_ball

GRID = Grid.from_voxel_size((20, 30, 40), (1.0, 1.0, 1.0), field_strength=3.0)
QUICK = ("inversion=tkd", "background=vsharp", "background.max_radius=6")
EVERYTHING = (
    *QUICK, "uncertainty=monte_carlo", "swi=homodyne", "chi_separation=r2prime", "relaxometry=log_linear"
)  # fmt: skip


def sections(plan):
    return [step.section for step in plan.steps]


def test_nothing_of_it_runs_unless_named():
    plan = plan_qsm(load_config(), GRID, 3)
    assert not {"uncertainty", "swi", "chi_separation"} & set(sections(plan))
    assert plan.notes == ()


def test_named_sections_come_after_the_reference():
    settings = ["uncertainty=monte_carlo", "swi=local_field", "chi_separation=r2star", "reference=csf"]
    plan = plan_qsm(load_config(settings=settings), GRID, 3)
    assert sections(plan)[-4:] == ["reference", "uncertainty", "swi", "chi_separation"]
    assert {"chi_sd", "swi", "minip", "chi_positive", "chi_negative", "csf_mask"} <= set(plan.kept)


def test_uncertainty_of_two_passes_is_that_of_the_filled_mask():
    plan = plan_qsm(load_config(settings=["uncertainty=monte_carlo", "two_pass=phase_quality"]), GRID, 3)
    step = plan.steps[-1]
    assert [s.section for s in step.chain] == ["background", "inversion"]
    assert step.inputs["mask"] == step.chain[0].inputs["mask"] == "filled_mask"
    assert step.chain[1].outputs["chi"] == "filled_chi"


def test_uncertainty_needs_a_chain_that_starts_from_the_field():
    settings = ["uncertainty=monte_carlo", "background=phase_lbv"]
    with pytest.raises(
        UsageError, match=r"phase_lbv does not start from the total field.*uncertainty.background"
    ):
        plan_qsm(load_config(settings=settings), GRID, 3)
    with pytest.raises(UsageError, match=r"tgv does not start from the total field.*single_step=none"):
        plan_qsm(load_config(settings=["uncertainty=monte_carlo", "single_step=tgv"]), GRID, 3)
    plan = plan_qsm(load_config(settings=[*settings, "uncertainty.background=vsharp"]), GRID, 3)
    assert plan.steps[-1].section == "uncertainty"


def test_uncertainty_goes_through_a_single_step():
    (step,) = [
        s
        for s in plan_qsm(load_config(settings=["uncertainty=monte_carlo"]), GRID, 3).steps
        if s.section == "uncertainty"
    ]
    assert [s.method.name for s in step.chain] == ["tfi"]
    with pytest.raises(UsageError, match="single_step=none"):
        plan_qsm(load_config(settings=["uncertainty=monte_carlo", "uncertainty.inversion=tkd"]), GRID, 3)


def test_uncertainty_takes_the_run_s_methods_and_counts_their_memory():
    settings = ["uncertainty=monte_carlo", "inversion=tkd", "inversion.threshold=0.3"]
    (step,) = [s for s in plan_qsm(load_config(settings=settings), GRID, 3).steps if s.section == "uncertainty"]
    assert [(s.section, s.method.name) for s in step.chain] == [("background", "lbv"), ("inversion", "tkd")]
    assert cast("Any", step.chain[1].params).threshold == 0.3
    assert step.memory > max(s.method.working_bytes(GRID, s.params, 3) for s in step.chain)


@pytest.mark.parametrize(
    ("settings", "echoes", "calibration"),
    [
        ([], 4, "tfi"),
        ([], 1, "tfi-one-echo"),
        (["inversion=weak_harmonic"], 4, "weak_harmonic"),
        (["uncertainty.calibration=weak_harmonic"], 1, "weak_harmonic"),
    ],
)
def test_intervals_are_calibrated_for_the_inversion_and_echoes_of_the_run(settings, echoes, calibration):
    config = load_config(settings=["uncertainty=calibrated", *settings])
    step = plan_qsm(config, GRID, echoes).steps[-1]
    assert step.params.model_dump() == {"calibration": calibration}
    assert step.inputs["mask"] == "local_mask"
    assert not step.chain


def test_intervals_of_an_inversion_that_was_not_calibrated_are_refused():
    config = load_config(settings=["uncertainty=calibrated", "inversion=tkd"])
    with pytest.raises(UsageError, match=r"no calibration for tkd, only for .*tfi.*monte_carlo"):
        plan_qsm(config, GRID, 3)


def test_sidecars_of_intervals_give_level_and_what_it_counts(tmp_path):
    ball = make_ball(9)
    files = write_ball(tmp_path / "in", ball)
    request = QsmRequest(tuple(files["mag"]), tuple(files["phase"]), tmp_path / "out")
    settings = ["uncertainty=calibrated", "single_step.iterations=2"]
    done = run_qsm_session(request, load_config(settings=settings), cpu())
    cases = [("ci", "chi_ci", "percent of voxels"), ("regionci", "chi_region_ci", "percent of regions")]
    for level, (entity, name, what) in product((68, 95), cases):
        path = request.out / "sub-01" / "anat" / f"sub-01_desc-{entity}{level}_Chimap.nii.gz"
        np.testing.assert_array_equal(read_image(path).array, done.result[f"{name}{level}"])
        facts = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        assert (facts["Units"], facts["IntervalLevel"], facts["IntervalUnits"]) == ("ppm", level, what)
        assert facts["Parameters"]["calibration"] == "tfi"


@pytest.mark.parametrize(
    ("setting", "echoes", "missing"),
    [
        ("chi_separation=r2prime", 3, "r2"),
        ("chi_separation=r2star", 1, "r2star"),
        ("reference=csf", 1, "r2star"),
    ],
)
def test_missing_input_is_refused_before_anything_runs(setting, echoes, missing):
    with pytest.raises(UsageError, match=rf"needs {missing}, which is neither given"):
        plan_qsm(load_config(settings=[setting]), GRID, echoes)


@pytest.mark.parametrize(
    ("r2", "message"),
    [
        (0.012, "r2.nii.gz: Units: the median of r2 is 0.012 1/s"),
        (83.0, r"r2.nii.gz: R2 is not below R2\* in 100 %"),
        (0.0, "r2.nii.gz: R2 is 0 in 100 % of the mask"),
        (np.nan, "r2.nii.gz: R2 is 0 in 100 % of the mask"),
    ],
)
def test_r2_that_cannot_be_is_refused_before_anything_is_written(tmp_path, r2, message):
    ball = make_ball(8)
    files = write_ball(tmp_path / "in", ball)
    path = tmp_path / "in" / "r2.nii.gz"
    write_image(path, np.full(ball.mask.shape, r2, np.float32), ball.series.grid)
    request = QsmRequest(tuple(files["mag"]), tuple(files["phase"]), tmp_path / "out", r2=path)
    config = load_config(settings=[*QUICK, "chi_separation=r2prime", "relaxometry=log_linear"])
    with pytest.raises(InputError, match=message):
        run_qsm_session(request, config, cpu())
    assert not [path for path in request.out.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """A session that makes every map."""
    folder = tmp_path_factory.mktemp("derived")
    ball = make_ball(8)
    files = write_ball(folder / "in", ball)
    r2 = folder / "in" / "r2.nii.gz"
    write_image(r2, np.full(ball.mask.shape, 12.0, np.float32), ball.series.grid)
    request = QsmRequest(tuple(files["mag"]), tuple(files["phase"]), folder / "out", r2=r2)
    config = load_config(settings=EVERYTHING)
    dry = run_qsm_session(request, config, cpu(), dry_run=True)
    done = run_qsm_session(request, config, cpu())
    assert sorted(dry.files) == sorted(done.files)
    return request, done


@pytest.mark.parametrize(
    ("name", "map_", "unit"),
    [
        ("desc-sd_Chimap", "chi_sd", "ppm"),
        ("desc-paramagnetic_Chimap", "chi_positive", "ppm"),
        ("desc-diamagnetic_Chimap", "chi_negative", "ppm"),
        ("desc-separated_Chimap", "chi_total", "ppm"),
        ("desc-sd_R2starmap", "r2star_sd", "1/s"),
        ("swi", "swi", "arbitrary"),
        ("minIP", "minip", "arbitrary"),
    ],
)
def test_maps_are_written_with_unit_and_method(outcome, name, map_, unit):
    request, done = outcome
    path = request.out / "sub-01" / "anat" / f"sub-01_{name}.nii.gz"
    np.testing.assert_array_equal(read_image(path).array, done.result[map_])
    facts = json.loads(path.with_name(f"sub-01_{name}.json").read_text())
    assert facts["Units"] == unit
    assert facts["EstimationReference"].startswith("https://doi.org/10.")
    assert done.result[map_].any()


def test_sidecars_tell_chain_constant_and_whole_brain(outcome):
    request, done = outcome
    folder = request.out / "sub-01" / "anat"
    spread = json.loads((folder / "sub-01_desc-sd_Chimap.json").read_text())
    assert spread["PropagatedThrough"] == ["vsharp", "tkd"]
    separated = json.loads((folder / "sub-01_desc-paramagnetic_Chimap.json").read_text())
    assert separated["AddedOffset"] == pytest.approx(done.result.facts["offset"])
    whole = json.loads((folder / "sub-01_Chimap.json").read_text())["QSMReference"]["WholeBrain"]
    values = done.result.chi[done.result.mask].astype(float)
    assert whole["Mean"] == pytest.approx(values.mean(), abs=1e-9)
    assert whole["StandardDeviation"] == pytest.approx(values.std())
    assert whole["Voxels"] == values.size


def test_uncertainty_of_a_run_is_that_of_its_own_chain(outcome):
    _, done = outcome
    result = done.result
    method = get_method("uncertainty", "monte_carlo")
    alone = qe.estimate_uncertainty(
        result.total_field, result["noise"], result["field_mask"], result.grid, inversion="tkd", device="cpu"
    )
    inside = result.mask
    assert method.outputs["chi_sd"] == "ppm"
    assert np.median(result["chi_sd"][inside]) == pytest.approx(np.median(alone[inside]), rel=0.25)


def test_reference_to_fluid_is_told_in_the_sidecar(tmp_path):
    ball = make_ball(9)
    series = ball.series
    x, y, z = np.meshgrid(*(np.arange(n) - n / 2 for n in series.grid.shape), indexing="ij")
    fluid = x**2 + y**2 + z**2 < 16
    times = np.array(series.echo_times)
    series.magnitude[fluid] *= np.exp(23.0 * times).astype(np.float32)
    files = write_ball(tmp_path / "in", ball)
    request = QsmRequest(tuple(files["mag"]), tuple(files["phase"]), tmp_path / "out")
    result: Any = run_qsm_session(request, load_config(settings=[*QUICK, "reference=csf"]), cpu()).result
    folder = tmp_path / "out" / "sub-01" / "anat"
    region = read_image(folder / "sub-01_desc-csf_mask.nii.gz").array > 0
    assert region.sum() > 50
    assert not (region & ~fluid).any()
    assert result.chi[region].mean() == pytest.approx(0.0, abs=1e-6)
    facts = json.loads((folder / "sub-01_Chimap.json").read_text())["QSMReference"]
    assert facts["Region"] == "csf"
    assert facts["SubtractedValue"] == pytest.approx(result.facts["value"])
    assert facts["Count"] == region.sum()
    assert facts["Sd"] == pytest.approx(result.chi[region].std(dtype=float), rel=1e-4)


def test_r2_of_another_grid_is_refused(outcome, tmp_path):
    request, _ = outcome
    other = tmp_path / "r2.nii.gz"
    write_image(other, np.ones((5, 5, 5), np.float32), Grid.from_voxel_size((5, 5, 5), (2.0, 2.0, 2.0)))
    wrong = QsmRequest(request.magnitude, request.phase, tmp_path / "o", r2=other)
    with pytest.raises(InputError, match="has shape"):
        run_qsm_session(wrong, load_config(settings=EVERYTHING), cpu())
    ball = make_ball(8)
    with pytest.raises(InputError, match="r2 has shape"):
        run_qsm(ball.series, load_config(settings=EVERYTHING), cpu(), r2=np.ones((5, 5, 5)))


def test_functions_take_and_give_arrays(outcome):
    _, done = outcome
    result, ball = done.result, make_ball(8)
    grid, inside = result.grid, result.mask
    times = ball.series.echo_times
    weighted = qe.susceptibility_weighted(
        ball.series.magnitude, inside, times, grid, local_field=result.local_field
    )
    assert (weighted.minip <= weighted.swi).all()
    by_phase = qe.susceptibility_weighted(ball.series.magnitude, inside, times, grid, phase=ball.series.phase)
    assert by_phase.swi[inside].mean() > 0
    parts = qe.separate_chi(result.chi, result["r2star"], inside, grid)
    np.testing.assert_allclose(parts.chi_total, parts.chi_positive + parts.chi_negative, atol=1e-7)
    r2 = np.full(grid.shape, 12.0, np.float32)
    with_r2 = qe.separate_chi(result.chi, result["r2star"], inside, grid, r2=r2)
    np.testing.assert_allclose(with_r2.chi_positive, result["chi_positive"], atol=1e-6)
    referenced = qe.reference_chi(result.chi + np.float32(0.1), inside, grid)
    assert referenced.value == pytest.approx(0.1, abs=1e-5)
    rate = np.where(np.indices(grid.shape).std(axis=0) < 2.0, 1.0, 20.0).astype(np.float32)
    assert qe.reference_chi(result.chi, inside, grid, r2star=rate).count < inside.sum() / 2


def test_background_removal_takes_weights_where_the_method_has_them(outcome):
    result = outcome[1].result
    weight = 1 + np.random.default_rng(0).random(result.grid.shape).astype(np.float32)
    field, mask = result.total_field, result["field_mask"]
    plain, _ = qe.remove_background(field, mask, result.grid, method="pdf", params={"iterations": 8})
    weighted, _ = qe.remove_background(
        field, mask, result.grid, method="pdf", params={"iterations": 8}, weight=weight
    )
    assert np.abs(weighted - plain).max() > 1e-4
    with pytest.raises(UsageError, match="weight"):
        qe.remove_background(field, mask, result.grid, method="vsharp", weight=weight)


@pytest.mark.parametrize(("slices", "noted"), [(7, True), (8, False)])
def test_images_of_few_slices_are_noted(tmp_path, slices, noted):
    files = write_ball(tmp_path, make_ball(shape=(20, 18, slices), echo_times=(0.004, 0.009)))
    request = QsmRequest(tuple(files["mag"]), tuple(files["phase"]), tmp_path / "o")
    outcome = run_qsm_session(request, load_config(preset="fast"), cpu(), dry_run=True)
    assert any("voxels along one axis, fewer than 8" in note for note in outcome.notes) == noted

import json
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest

from bench.accuracy import chains
from bench.accuracy.chains import (
    Chain,
    background_chains,
    combination_chains,
    field_chains,
    inversion_chains,
    parameters,
    preset_chains,
)
from bench.accuracy.execute import Executor
from bench.accuracy.heads import case_path, load, make_case, save
from bench.accuracy.scenarios import BASE, Scenario, factorial, goals, variations
from bench.accuracy.scoring import LAYERS, layer_scores, region_scores, score
from bench.accuracy.worker import Worker
from qsmengine.backend.device import resolve_device
from qsmengine.phantom import virtual_head
from qsmengine.pipeline.configuration.config import preset_names, read_preset
from qsmengine.stages.registry import methods_of

COARSE = (6.0, 6.0, 6.0)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("heads") / "head.npz"
    save(path, virtual_head(voxel_size=COARSE, echo_times=(0.004, 0.012, 0.02), snr=80.0))
    return path


@pytest.fixture(scope="module")
def case(stored):
    return load(stored)


def test_a_stored_head_comes_back_whole(case):
    head = virtual_head(voxel_size=COARSE, echo_times=(0.004, 0.012, 0.02), snr=80.0)
    np.testing.assert_array_equal(case.series.phase, head.gre.phase)
    np.testing.assert_array_equal(case.truth["local_field"], head.truth["local_field"].array)
    np.testing.assert_array_equal(case.labels, head.labels)
    assert case.grid.matches(head.grid)
    assert case.grid.field_strength == 3.0


def test_heads_are_made_once_and_named_by_their_acquisition(tmp_path):
    scenario = Scenario("any", voxel_size=8.0, echoes=1, sampling="boxes")
    path = make_case(tmp_path, scenario, 2)
    written = path.stat().st_mtime_ns
    assert make_case(tmp_path, Scenario("other name", voxel_size=8.0, echoes=1, sampling="boxes"), 2) == path
    assert path.stat().st_mtime_ns == written
    others = {case_path(tmp_path, s, h) for s in variations(8.0) for h in (1, 2)}
    assert len(others) == 2 * len(variations(8.0))


def test_every_registered_method_is_in_the_study():
    inversions, backgrounds = set(methods_of("inversion")), set(methods_of("background"))
    assert {c.name for c in inversion_chains()} <= inversions
    assert {c.name for c in background_chains()} <= backgrounds
    names = {c.name for c in combination_chains("total")}
    assert {f"{b} + {i}" for b in ("vsharp", "lbv", "pdf") for i in ("tkd", "weighted_tv")} <= names
    assert {c.name for c in combination_chains("raw")} >= names
    assert len(field_chains()) == len(methods_of("unwrap")) * len(methods_of("field"))
    assert {c.preset for c in preset_chains("raw", 4)} <= set(preset_names())


def test_methods_that_take_the_phase_start_from_raw_echoes_only(monkeypatch):
    known = methods_of("background"), methods_of("inversion")
    direct = replace(known[0]["lbv"], name="direct", inputs=("phase", "mask", "echo_times"))
    joint = replace(known[1]["tkd"], name="joint", stage="single-step", inputs=("total_field", "mask"))
    stages = {"background": {**known[0], "direct": direct}, "inversion": known[1]}
    monkeypatch.setattr(chains, "methods_of", lambda stage: stages[stage])
    monkeypatch.setattr(chains, "all_methods", lambda: (*known[1].values(), joint))
    raw = {c.name: tuple(c.sections) for c in combination_chains("raw")}
    total = {c.name: tuple(c.sections) for c in combination_chains("total")}
    assert raw["direct + tkd"] == ("phase_offset", "background", "inversion")
    assert raw["lbv + tkd"] == ("phase_offset", "unwrap", "field", "reliability", "background", "inversion")
    assert raw["joint"][-1] == total["joint"][-1] == "single_step"
    assert total["joint"] == ("single_step",)
    assert "direct + tkd" not in total
    starts = {c.name: c.start for c in background_chains()}
    assert starts["direct"] == "raw"
    assert starts["lbv"] == "total"


def test_parameters_come_from_a_preset_unless_inputs_are_exact():
    section = read_preset("accurate")["inversion"]
    assert parameters("inversion", section["method"]) == section
    assert parameters("inversion", section["method"], exact=True) == {"method": section["method"]}


def test_the_factorial_study_has_every_acquisition():
    scenarios = factorial(2.0)
    assert len(set(scenarios)) == 2 * 3 * 2 * 3
    assert all(np.linalg.norm(s.b0_direction) == pytest.approx(1.0) for s in scenarios)
    assert {len(s.echo_times) for s in scenarios} == {1, 2, 4}


def test_goal_lines_are_those_of_the_project():
    limits = [(g.start, g.scenario.echoes, g.scenario.snr, g.limit) for g in goals(1.0)]
    assert limits == [
        ("local", 4, None, 9.0), ("total", 4, None, 25.0), ("raw", 4, 100.0, 25.0), ("raw", 2, 60.0, 28.0),
        ("raw", 1, 80.0, 45.0), ("raw", 1, 80.0, 45.0), ("raw", 4, 100.0, 30.0),
    ]  # fmt: skip
    assert [g.scenario.tilt > 0 for g in goals(1.0)] == [False, False, False, True, False, False, False]
    assert [g.scenario.field_strength for g in goals(1.0)] == [3.0] * 6 + [7.0]
    assert [g.scenario.kind.artefacts.conduction for g in goals(1.0)] == [0, 0, 0, 0, 0, 1, 0]
    assert {g.scenario.sampling for g in goals(1.0)} == {"scanner"}


def test_the_truth_scores_zero_and_eroded_voxels_count_as_errors(case):
    perfect = score(case.truth["chi"] + 0.02, case, "chi")
    assert perfect["whole"] == pytest.approx(0.0, abs=1e-3)
    assert perfect["xsim"] == pytest.approx(1.0, abs=1e-4)  # bone and air around the brain do not count
    assert all(perfect[name] == pytest.approx(0.0, abs=1e-3) for name in LAYERS if perfect[name] is not None)
    assert perfect["median_error"] == pytest.approx(0.0, abs=1e-3)
    assert perfect["dgm_slope"] == pytest.approx(1.0, abs=1e-4)
    assert perfect["dgm_error"] == pytest.approx(0.0, abs=1e-3)
    half = case.truth["local_field"].copy()
    half[: half.shape[0] // 2] = 0
    eroded = score(half, case, "local_field")
    assert eroded["scored"] < 1.0
    assert perfect["xsim"] > eroded["xsim"] > 0.9
    assert eroded["whole"] > 20.0
    assert 30 < eroded["volume"] < 70
    assert "dgm_slope" not in eroded


def test_the_median_error_is_in_ppb_and_blind_to_few_outliers(case):
    estimate = case.truth["chi"].copy()
    estimate += np.random.default_rng(3).normal(0, 0.004, estimate.shape).astype(np.float32)
    estimate[tuple(np.argwhere(case.mask)[:20].T)] += 5.0
    found = score(estimate, case, "chi")
    assert found["median_error"] == pytest.approx(0.6745 * 4.0, rel=0.05)
    assert found["whole"] > 100


def test_layers_are_counted_from_the_rim_of_the_given_mask(case):
    box = np.zeros_like(case.mask)
    middle = [int(i.mean()) for i in np.nonzero(case.mask)]
    box[tuple(slice(m - 5, m + 6) for m in middle)] = True
    boxed = replace(case, given=box)
    along = boxed.layer[middle[0] - 6 : middle[0] + 7, middle[1], middle[2]]
    np.testing.assert_array_equal(along, [0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 0])


def test_errors_are_scored_in_their_layer(case):
    third = case.scored & (case.layer == 3)
    error = np.where(third, np.random.default_rng(1).normal(size=third.shape), 0.0)
    error[third] -= error[third].mean()
    found = layer_scores(case.truth["chi"] + 0.01 * error, case.truth["chi"], case)
    assert found["layer_3"] > 5
    others = [found[name] for name in LAYERS if name != "layer_3" and found[name] is not None]
    assert len(others) >= 3
    assert others == pytest.approx([0.0] * len(others), abs=1e-3)


def test_chains_get_the_given_mask_and_are_scored_where_it_is_brain(case):
    given = case.mask.copy()
    given[: given.shape[0] // 2] = False
    given[tuple(np.argwhere(~case.mask).T[:, :50])] = True
    half = replace(case, given=given)
    executor = Executor(half, resolve_device("cpu"))
    chain = Chain("x", "inversion", "local", {"inversion": {"method": "tkd"}})
    state, _ = executor._steps(chain)
    assert not np.asarray(state["chi"])[~given].any()
    inside = np.where(half.scored, case.truth["chi"], np.float32(7.0))
    assert score(inside, half, "chi")["whole"] == pytest.approx(0.0, abs=1e-3)


def test_region_errors_are_in_ppb_with_the_slope_of_the_means(case):
    found = region_scores(0.9 * case.truth["chi"], case)
    assert found["dgm_slope"] == pytest.approx(0.9, abs=1e-4)
    demeaned = case.truth["chi"] - case.truth["chi"][case.mask].mean(dtype=np.float64)
    pallidum = demeaned[np.isin(case.labels, (13, 52)) & case.mask].mean(dtype=np.float64)
    assert found["dgm_error"] == pytest.approx(100 * pallidum, rel=1e-3)


def test_a_chain_is_the_methods_one_after_the_other(case):
    device = resolve_device("cpu")
    executor = Executor(case, device)
    chain = Chain(
        "x", "combination", "total", {"background": {"method": "sharp"}, "inversion": {"method": "tkd"}}
    )
    record = executor.run(chain)
    background, inversion = methods_of("background")["sharp"], methods_of("inversion")["tkd"]
    total = {"total_field": case.truth["total_field"] * case.mask, "mask": case.mask}
    local = background(total, case.grid, background.params(), device=device)
    chi = inversion(local, case.grid, inversion.params(), device=device)["chi"]
    expected = {name: value for name, value in score(chi, case, "chi").items() if value is not None}
    assert {name: record[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert record["seconds"] > 0


def test_shared_steps_run_once(case, monkeypatch):
    from bench.accuracy import execute

    ran = []
    original = execute.run_step
    monkeypatch.setattr(
        execute,
        "run_step",
        lambda state, section, *rest: ran.append(section) or original(state, section, *rest),
    )
    executor = Executor(case, resolve_device("cpu"))
    raw = [c for c in combination_chains("raw") if c.name in {"sharp + tkd", "sharp + tsvd", "ismv + tkd"}]
    first, second, third = (executor.run(chain) for chain in raw)
    assert ran.count("unwrap") == ran.count("field") == 1
    assert ran.count("background") == 2
    assert ran.count("inversion") == 3
    assert all(r["seconds"] > 0 and 0 < r["whole"] < 300 for r in (first, second, third))


def test_single_echo_chains_leave_out_the_phase_offset(tmp_path):
    path = tmp_path / "one.npz"
    save(path, virtual_head(voxel_size=(6.0, 6.0, 6.0), echo_times=(0.01,)))
    record = Executor(load(path), resolve_device("cpu")).run(field_chains()[0])
    assert 0 < record["whole"] < 500


@pytest.mark.slow
def test_presets_run_whole_with_the_true_mask_or_their_own(case):
    executor = Executor(case, resolve_device("cpu"))
    given, own = (
        executor.run(Chain("d", "preset", "raw", preset="accurate", own_mask=o)) for o in (False, True)
    )
    assert given["whole"] > 0
    assert given["whole"] != own["whole"]


def test_the_worker_reports_results_failures_and_time_outs(stored):
    worker = Worker("cpu", 100.0)
    try:
        fine = worker.run(stored, inversion_chains()[0])
        assert fine["status"] == "ok"
        assert fine["whole"] > 0
        assert fine["peak_mib"] > 10
        broken = Chain("broken", "inversion", "local", {"inversion": {"method": "tkd", "threshold": -1}})
        failed = worker.run(stored, broken)
        assert failed["status"] == "failed"
        assert "threshold" in failed["reason"]
        worker.max_seconds = 0.0
        slow = Chain("slow", "preset", "raw", preset="accurate")
        skipped = worker.run(stored, slow)
        assert skipped["status"] == "skipped"
        assert skipped["limit"] == 0.0
    finally:
        worker.close()
    assert not multiprocessing.active_children()


def test_digests_follow_parameters_and_are_plain_json():
    plain = Chain("a", "inversion", "local", {"inversion": {"method": "tkd"}})
    other = Chain("a", "inversion", "local", {"inversion": {"method": "tkd", "threshold": 0.3}})
    assert plain.digest != other.digest
    assert json.dumps(BASE.as_dict())

"""The level scanner: heads of the cohort, their raw images, values from derivatives, and bookkeeping."""

import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from qsmengine.cli.main import main
from qsmengine.cohort.plan import build, sessions
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.plan.model import CohortPlan, SessionRecord, StepRecord
from qsmengine.cohort.run import CohortOutcome
from qsmengine.errors import DeviceError
from qsmengine.grid import Grid
from qsmengine.io.nifti import write_image
from qsmengine.io.transforms import write_matrix
from qsmengine.modalities.t1w import flair
from qsmengine.phantom.labels import load_head_index
from qsmengine.phantom.perfusion import DENSITY, perfusion_table
from qsmengine.phantom.tissue import tissue_table
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stats.tables import read_table
from qsmengine.studies.pontillo2019 import raw_head, scanner, scanner_head
from qsmengine.studies.pontillo2019.atrophy import participant_head, tissue_volumes
from qsmengine.studies.pontillo2019.published import STRUCTURES
from qsmengine.studies.pontillo2019.raw import RawSettings
from qsmengine.studies.pontillo2019.raw_head import control_mean
from qsmengine.studies.pontillo2019.scanner_values import SCALING, measured_values, on_scale_of_paper

SEED = np.random.SeedSequence(3)


@cache
def coarse(_number=1):
    """Every third voxel of the bundled head along each axis."""
    head = load_head_index(1)
    index = np.ascontiguousarray(head.index[::3, ::3, ::3])
    return replace(head, index=index, grid=Grid.from_voxel_size(index.shape, (3.0, 3.0, 3.0)))


def values(**changes):
    return {name: control_mean(name) for name in scanner.METRICS if name != "lesion_load"} | {
        "lesion_load": math.nan,
        **changes,
    }


def tissues(head):
    return np.array([region.tissue for region in head.regions])[head.index]


def test_heads_have_the_volumes_and_lesions_of_their_participant():
    head, native = coarse(), tissue_volumes(coarse())
    asked = values(NGMV=730.0, NWMV=700.0, volume_thalamus=18.0, lesion_load=12.0)
    made = participant_head(head, asked, SEED)
    found = tissue_volumes(made)
    for name in ("NGMV", "NWMV"):
        assert found[name] == pytest.approx(native[name] * asked[name] / control_mean(name), rel=1e-3)
    assert found["NBV"] == pytest.approx(found["NGMV"] + found["NWMV"])
    assert found["lesion_load"] == pytest.approx(12.0, abs=0.03)
    before, after = tissues(head), tissues(made)
    lost = (before == "cortex") & (after != "cortex")
    assert set(after[lost]) == {"csf"}
    larger = tissue_volumes(participant_head(head, values(NGMV=840.0), SEED))
    assert larger["NGMV"] == pytest.approx(native["NGMV"] * 840.0 / control_mean("NGMV"), rel=1e-3)
    assert larger["lesion_load"] == 0


def test_raw_images_of_a_participant_are_planned_without_segmentations(monkeypatch, tmp_path):
    monkeypatch.setattr(scanner_head, "load_head_index", coarse)
    monkeypatch.setattr(raw_head, "load_head_index", coarse)
    monkeypatch.setattr(scanner_head, "EDGE", 4.0)
    for module in (build, sessions, flair):
        monkeypatch.setattr(module, "available", lambda: True)
    asked = values(lesion_load=20.0, NWMV=700.0)
    truth = scanner_head.draw_participant(asked, RawSettings(voxel_size=4.0), 7, tmp_path / "raw")
    assert set(truth) == set(scanner.METRICS)
    for name in (*scanner_head.BRAIN, "lesion_load"):
        expected = asked["NGMV"] + asked["NWMV"] if name == "NBV" else asked[name]
        assert truth[name] == pytest.approx(expected, rel=0.01)
    (session,) = plan_cohort(tmp_path / "raw", tmp_path / "out", load_config(preset="fast")).sessions
    steps = {step.name: step for step in session.steps}
    assert not session.problems
    assert not [problem for step in session.steps for problem in step.problems]
    assert list(steps) == [
        "qsm", "dti", "dsc", "anatomy", "registration_qsm", "registration_dti", "registration_dsc",
        "regions_seg-anatomy",
    ]  # fmt: skip
    assert set(steps["anatomy"].inputs) == {"t1w", "flair"}
    poses = [
        json.loads((tmp_path / f"raw/sub-007/anat/sub-007_{suffix}.json").read_text())["SimulatedMotion"]
        for suffix in ("T1w", "FLAIR")
    ]
    assert np.abs(np.subtract(*poses)).max() > 0.5


TABLE = (
    "index\tregion\themisphere\tvolume_mm3\treliable\tchi_mean\tmd_mean\tfa_mean\tcbv_mean\n"
    "10\tthalamus\tleft\t5000\t1\t9\t9\t9\t9\n"
    "n/a\tthalamus\tboth\t10000\t1\t{chi}\t0.0009\t0.3\t6.0\n"
    "n/a\tcaudate\tboth\t4000\t0\t0.05\t0.0009\t0.3\t6.0\n"
)


@pytest.fixture
def derivatives(tmp_path):
    """A session as `run` leaves it; blood volume is 12 in white matter and 99 elsewhere."""
    folder = tmp_path / "sub-001"
    for name in ("anat", "perf"):
        (folder / name).mkdir(parents=True)
    chi = tissue_table()["thalamus"].chi + 0.01
    (folder / "anat/sub-001_seg-anatomy_desc-dgm_stats.tsv").write_text(TABLE.format(chi=chi))
    (folder / "anat/sub-001_volumes.tsv").write_text(
        "gm\twm\tbrain\tscaling\tscreening_load\n600000\t500000\t1100000\t1.2\t0\n"
    )
    white = np.zeros((30, 30, 30), np.float32)
    white[:15] = 1
    write_image(
        folder / "anat/sub-001_label-WM_probseg.nii.gz", white, Grid.from_voxel_size((30, 30, 30), (1.0,) * 3)
    )
    shifted = np.eye(4)
    shifted[0, 3] = 6.0
    write_matrix(folder / "anat/sub-001_from-T1w_to-dsc_mode-image_xfm.txt", shifted)
    blood = np.full((10, 10, 10), 99.0, np.float32)
    blood[:2] = 12
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = Grid.from_voxel_size((30, 30, 30), (1.0,) * 3).affine[:3, 3] + 1
    write_image(folder / "perf/sub-001_CBV.nii.gz", blood, Grid((10, 10, 10), affine))
    return tmp_path


def test_values_come_from_the_derivatives_alone(derivatives):
    found = measured_values(derivatives, "sub-001", patient=True)
    assert found["chi_thalamus"] == pytest.approx(control_mean("chi_thalamus") + 10)
    assert found["MD_thalamus"] == pytest.approx(0.9)
    assert found["FA_thalamus"] == pytest.approx(0.3)
    white = DENSITY * perfusion_table()["white_matter"].cbv
    assert found["rCBV_thalamus"] == pytest.approx(white / 2)
    assert found["lesion_load"] == pytest.approx(0.003)
    assert not [name for name in found if name.endswith("caudate")]
    assert "lesion_load" not in measured_values(derivatives, "sub-001", patient=False)
    assert measured_values(derivatives, "sub-002", patient=True) == {}
    table = pd.DataFrame([found, {**found, SCALING: 1.0}]).reindex(
        columns=[*found, *(f"volume_{s}" for s in STRUCTURES if s != "thalamus")]
    )
    scaled = on_scale_of_paper(table, coarse())
    native = tissue_volumes(coarse())["NGMV"]
    assert scaled["NGMV"].tolist() == pytest.approx(
        [600 * size / 1.1 * control_mean("NGMV") / native for size in (1.2, 1.0)]
    )
    assert SCALING not in scaled


@pytest.fixture
def quick(monkeypatch):
    """Drawing and run without images: truth as drawn, chi 2 ppb high, one session failed."""
    made = []

    def draw(asked, settings, number, root):
        made.append(number)
        (root / f"sub-{number:03d}").mkdir(parents=True, exist_ok=True)
        return {k: None if math.isnan(v) else v for k, v in asked.items()}

    def values_of(out, key, *, patient):
        truth = json.loads((out.parent / "subjects" / f"{key}.json").read_text())["truth"]
        found = {k: v + 2.0 * k.startswith("chi") for k, v in truth.items() if v is not None}
        return {} if key == "sub-042" else {**found, SCALING: 1.0}

    def record(_, key):
        failed = key == "sub-042"
        step = StepRecord(
            state="failed" if failed else "done", seconds=60.0, peak_memory=2**30,
            reason="T1w.nii.gz: no brain found" if failed else "",
        )  # fmt: skip
        return SessionRecord(session=key, steps={"anatomy": step}), ""

    monkeypatch.setattr(scanner, "draw_participant", draw)
    monkeypatch.setattr(scanner, "measured_values", values_of)
    monkeypatch.setattr(scanner, "on_scale_of_paper", lambda table, _: table.drop(columns=SCALING))
    monkeypatch.setattr(scanner, "plan_cohort", lambda *_, **__: CohortPlan("", "", ()))
    monkeypatch.setattr(scanner, "run_cohort", lambda *_: CohortOutcome({}, 0))
    monkeypatch.setattr(scanner, "read_record", record)
    monkeypatch.setattr(scanner, "available", lambda: True)
    return made


def test_drawn_participants_are_kept_and_failures_are_reported(tmp_path, quick):
    settings = RawSettings(seed=2)
    made = scanner.reproduce_scanner(tmp_path, settings, per_group=2)
    assert quick == [1, 42, 94, 2, 43, 95]
    bias = made.bias.set_index("metric")
    assert bias.loc["chi_caudate", "bias"] == pytest.approx(2.0)
    assert bias.loc["NBV", "n"] == 5
    assert bias.loc["lesion_load", "n"] == 3
    assert made.reasons == ("sub-042: anatomy: T1w.nii.gz: no brain found",)
    assert any("median 60 s; peak memory 1.00 GiB" in line for line in made.lines())
    assert len(read_table(tmp_path / "times.tsv")) == 6
    seen = []
    scanner.reproduce_scanner(tmp_path, settings, per_group=2, on_participant=lambda *a: seen.append(a))
    assert (len(quick), seen[-1]) == (6, (6, 6, True))
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["sub-042"]
    assert not list(tmp_path.glob(".sub*"))
    (tmp_path / "raw/sub-042").rmdir()
    scanner.reproduce_scanner(tmp_path, settings, per_group=2)
    assert quick[6:] == [42]
    scanner.reproduce_scanner(tmp_path, RawSettings(seed=3), per_group=2, keep_raw=True)
    assert len(quick) == 13
    assert len(list((tmp_path / "raw").iterdir())) == 6


def test_groups_take_turns_in_parts_of_few_participants():
    drawn = pd.DataFrame({"group": [*"AAAAAA", *"BBB", *"C"], "participant_id": range(10)})
    parts = scanner.in_turns(drawn, 4)
    assert [len(part) for part in parts] == [4, 4, 2]
    assert [part["group"].str.cat() for part in parts] == ["ABAA", "BCAA", "BA"]
    assert [list(part["participant_id"]) for part in parts] == [[0, 6, 1, 2], [7, 9, 3, 4], [8, 5]]


def test_a_metric_of_one_participant_has_a_bias_without_spread(tmp_path, quick, monkeypatch):
    plain = vars(scanner)["measured_values"]

    def once(out, key, *, patient):
        found = plain(out, key, patient=patient)
        return found if key == "sub-001" else {k: v for k, v in found.items() if k != "chi_thalamus"}

    monkeypatch.setattr(scanner, "measured_values", once)
    row = (
        scanner.reproduce_scanner(tmp_path, RawSettings(), per_group=2)
        .bias.set_index("metric")
        .loc["chi_thalamus"]
    )
    assert (row["n"], row["bias"]) == (1, pytest.approx(2.0))
    assert row[["sd", "r", "difference_truth"]].isna().all()


def test_an_interrupted_run_writes_no_tables(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(scanner, "run_cohort", lambda *_: CohortOutcome({}, 0, interrupted=True))
    argv = ["reproduce", "pontillo2019", str(tmp_path), "--level", "scanner", "--per-group", "2", "--quiet"]
    assert main([*argv, "--device", "cpu"]) == 130
    assert not (tmp_path / "bias.tsv").exists()


def test_the_whole_cohort_goes_to_the_models(tmp_path, quick, monkeypatch):
    seen = {}

    def models(folder, measured, summary):
        seen.update(folder=folder, measured=measured, summary=summary)
        return ("Table 1",)

    monkeypatch.setattr(scanner, "whole_cohort", models)
    made = scanner.reproduce_scanner(tmp_path, RawSettings(seed=5))
    assert made.cells == ("Table 1",)
    assert made.lines().count("Table 1") == 1
    assert seen["measured"]["NBV"].notna().sum() == 117
    assert seen["measured"]["lesion_load"].notna().sum() == 76
    assert "as from a scanner: 118 virtual heads (seed 5" in seen["summary"]


def test_the_command_gives_its_workers_to_the_run(tmp_path, quick, monkeypatch):
    seen = []
    monkeypatch.setattr(
        scanner, "run_cohort", lambda _, settings, __: seen.append(settings) or CohortOutcome({}, 0)
    )
    argv = ["reproduce", "pontillo2019", str(tmp_path), "--per-group", "2", "--device", "cpu", "--quiet"]
    assert main([*argv, "--level", "scanner", "--workers", "0", "--threads", "1"]) == 1
    assert (seen[0].workers, seen[0].threads) == (0, 1)
    assert main([*argv[:3], "--workers", "2", "--quiet"]) == 2


def test_the_command_says_what_is_missing_and_ends_with_the_reasons(tmp_path, quick, monkeypatch, capsys):
    argv = ["reproduce", "pontillo2019", str(tmp_path / "out"), "--level", "scanner", "--per-group", "2"]
    assert main([*argv, "--device", "cpu", "--quiet"]) == 1
    assert (tmp_path / "out" / "bias.tsv").is_file()
    assert main([*argv, "--device", "cpu", "--quiet"]) == 2
    monkeypatch.setattr(scanner, "available", lambda: False)
    with pytest.raises(DeviceError, match="antspyx"):
        scanner.reproduce_scanner(tmp_path / "other", RawSettings(), per_group=2)
    capsys.readouterr()
    assert main([*argv, "--force", "--device", "cpu", "--quiet"]) == 4
    said = capsys.readouterr().err.strip()
    assert "pip install 'qsmengine[registration]'" in said
    assert "\n" not in said
    assert main(["reproduce", "schweser2018", str(tmp_path), "--level", "scanner"]) == 2

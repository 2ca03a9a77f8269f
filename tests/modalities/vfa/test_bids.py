"""Series with several flip angles in a dataset: from virtual heads to maps, tables and pages."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest

from qsmengine import reconstruct_vfa
from qsmengine.cli.main import main
from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.io.nifti import read_image
from qsmengine.phantom import virtual_head
from qsmengine.phantom.cohort import CohortSettings, write_cohort
from qsmengine.phantom.vfa_drawing import DRAWING
from qsmengine.pipeline.configuration.config import load_config


@pytest.fixture(scope="module")
def head():
    return virtual_head(voxel_size=(4.0, 4.0, 4.0), modalities=(DRAWING,), seed=6)


@pytest.fixture(scope="module")
def dataset(head, tmp_path_factory):
    """One session of a virtual head, its labels as segmentation."""
    root = tmp_path_factory.mktemp("bids")
    write_cohort(root, head, CohortSettings(sessions=1, snr=60.0, seed=1))
    return root


@pytest.fixture(scope="module")
def out(dataset, tmp_path_factory):
    """Derivatives of the dataset, with pages."""
    folder = tmp_path_factory.mktemp("out")
    plan = plan_cohort(dataset, folder, load_config(), lut="synthseg")
    assert [{step.kind for step in session.steps} for session in plan.sessions] == [{"vfa", "regions"}]
    assert run_cohort(plan, RunSettings(workers=0, device="cpu")).exit_code == 0
    (step,) = (step for step in plan.sessions[0].steps if step.kind == "vfa")
    assert all((folder / output).is_file() for output in step.outputs)
    write_reports(folder)
    return folder


def test_region_tables_hold_relaxation_rates_with_units(out):
    table = next(out.rglob("sub-01*_stats.tsv"))
    rows = {
        (row["region"], row["hemisphere"]): row
        for row in csv.DictReader(table.read_text().splitlines(), delimiter="\t")
    }
    units = json.loads(table.with_suffix(".json").read_text())
    assert units["r1_mean"]["Units"] == "1/s"
    assert 0.5 < float(rows["thalamus", "left"]["r1_mean"]) < 1.5
    assert 10 < float(rows["thalamus", "left"]["vfa_r2star_mean"]) < 40


def test_the_page_shows_maps_and_the_text_its_methods(out):
    assert "<h2>Relaxometry" in (out / "sub-01.html").read_text()
    text = (out / "logs" / "CITATION.md").read_text()
    assert "flip angles of 3 and 20 degrees" in text
    assert "10.3389/fnins.2014.00278" in text


def test_b1_of_the_session_is_used(head, out):
    record = json.loads((out / "sub-01" / "anat" / "sub-01_desc-vfa_prov.json").read_text())
    assert "fmap/sub-01_TB1map.nii.gz" in str(record["Inputs"])
    r1 = read_image(out / "sub-01" / "anat" / "sub-01_R1map.nii.gz").array
    region = np.isin(head.labels, (10, 49)) & head.mask & (r1 > 0)
    assert r1[region].mean() == pytest.approx(head.truth["r1"].array[region].mean(), rel=0.02)


def test_with_the_true_b1_tissue_rates_are_within_two_percent(head, dataset, tmp_path):
    session = dataset / "sub-01"
    images = sorted(map(str, session.glob("anat/*_VFA.nii.gz")))
    b1 = str(session / "fmap" / "sub-01_TB1map.nii.gz")
    arguments = ["vfa", "--magnitude", *images, "--b1", b1, "--device", "cpu", "--out", str(tmp_path)]
    assert main(arguments) == 0
    folder = tmp_path / "sub-01" / "anat"
    r1 = read_image(folder / "sub-01_R1map.nii.gz").array
    mask = read_image(folder / "sub-01_desc-vfabrain_mask.nii.gz").array > 0
    overlap = 2 * (mask & head.mask).sum() / (mask.sum() + head.mask.sum())
    assert overlap > 0.85
    truth = head.truth["r1"].array
    for label in (2, 41, 3, 42, 10, 49):
        region = (head.labels == label) & mask & head.mask
        assert r1[region].mean() == pytest.approx(truth[region].mean(), rel=0.02)


def test_entropy_finds_the_shape_of_b1_and_density_follows_from_r1(head):
    images = head.series("vfa")
    series, reference = images.series, head.mask & np.isin(head.labels, (2, 41))
    noisy = DRAWING.add_noise(images, 60.0, reference, np.random.default_rng(7)).series.signal
    mean = float(np.exp(np.log(images.b1[head.mask]).mean()))
    result = reconstruct_vfa(
        noisy, head.grid, flip_angles=series.flip_angles, repetition_times=series.repetition_times,
        echo_times=series.echo_times, mask=head.mask, b1="minimum_entropy",
        params={"transmit_field": {"mean": mean}}, device="cpu",
    )  # fmt: skip
    error = np.log(result.b1[head.mask] / images.b1[head.mask])
    assert error.std() < 0.8 * np.log(images.b1[head.mask]).std()
    truth = head.truth["m0"].array
    for label in (2, 41, 3, 42, 10, 49):
        region = (head.labels == label) & head.mask
        assert result.pd[region].mean() == pytest.approx(truth[region].mean(), rel=0.03)


def test_a_series_that_cannot_be_used_is_reported_in_the_plan(dataset, tmp_path):
    copy = tmp_path / "bids"
    shutil.copytree(dataset, copy)
    for path in (copy / "sub-01" / "anat").glob("*_VFA.json"):
        fields = json.loads(path.read_text())
        del fields["RepetitionTimeExcitation"]
        path.write_text(json.dumps(fields))
    plan = plan_cohort(copy, tmp_path / "out", load_config())
    problems = [p for session in plan.sessions for step in session.steps for p in step.problems]
    assert "RepetitionTimeExcitation: not found" in problems[0]


def test_faults_of_virtual_sessions_are_found(head, tmp_path):
    for fault in DRAWING.faults[:1] + DRAWING.faults[2:]:
        root = tmp_path / fault.name.replace(" ", "-")
        write_cohort(root, head, CohortSettings(sessions=1, seed=2))
        changed = fault.damage(root / "sub-01", np.random.default_rng(3))
        assert changed
        plan = plan_cohort(root, tmp_path / "out", load_config())
        assert any(step.problems for session in plan.sessions for step in session.steps)

"""Spin echoes in a dataset: from virtual heads to maps, tables, pages and chi separation."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.io.nifti import read_image
from qsmengine.modalities.mese.series import IMAGES, group
from qsmengine.phantom import virtual_head
from qsmengine.phantom.cohort import CohortSettings, write_cohort
from qsmengine.phantom.gre import DRAWING as GRE
from qsmengine.phantom.mese_drawing import DRAWING
from qsmengine.pipeline.configuration.config import load_config

REGIONS = (2, 41, 3, 42, 10, 49, 12, 51)


@pytest.fixture(scope="module")
def head():
    return virtual_head(voxel_size=(4.0, 4.0, 4.0), modalities=(GRE, DRAWING), seed=6)


@pytest.fixture(scope="module")
def dataset(head, tmp_path_factory):
    root = tmp_path_factory.mktemp("bids")
    write_cohort(root, head, CohortSettings(sessions=1, snr=60.0, seed=1))
    return root


@pytest.fixture(scope="module")
def out(dataset, tmp_path_factory):
    """R2 maps of the dataset, with pages."""
    folder = tmp_path_factory.mktemp("out")
    plan = plan_cohort(dataset, folder, load_config(), lut="synthseg", steps=("mese", "regions"))
    assert run_cohort(plan, RunSettings(workers=0, device="cpu")).exit_code == 0
    (step,) = (step for step in plan.sessions[0].steps if step.kind == "mese")
    assert all((folder / output).is_file() for output in step.outputs)
    write_reports(folder)
    return folder


def test_tissue_rates_are_within_two_percent(head, out):
    r2 = read_image(out / "sub-01" / "anat" / "sub-01_R2map.nii.gz").array
    mask = read_image(out / "sub-01" / "anat" / "sub-01_desc-mesebrain_mask.nii.gz").array > 0
    overlap = 2 * (mask & head.mask).sum() / (mask.sum() + head.mask.sum())
    assert overlap > 0.85
    truth = head.truth["r2"].array
    for label in REGIONS:
        region = (head.labels == label) & mask & head.mask
        assert r2[region].mean() == pytest.approx(truth[region].mean(), rel=0.02)


def test_tables_pages_and_methods_know_the_maps(out):
    table = next(out.rglob("sub-01*_stats.tsv"))
    rows = list(csv.DictReader(table.read_text().splitlines(), delimiter="\t"))
    (thalamus,) = (row for row in rows if (row["region"], row["hemisphere"]) == ("thalamus", "left"))
    assert 8 < float(thalamus["r2_mean"]) < 16
    assert "<h2>Transverse relaxation" in (out / "sub-01.html").read_text()
    text = (out / "logs" / "CITATION.md").read_text()
    assert "8 spin echoes at 12 to 96 ms" in text
    assert "10.1002/mrm.22487" in text


def test_chi_is_separated_with_r2_of_the_raw_spin_echoes(dataset, out, tmp_path):
    maps = out / "sub-01" / "anat" / "sub-01_R2map.nii.gz"
    config = load_config(settings=["chi_separation=r2prime"])
    plan = plan_cohort(dataset, tmp_path / "qsm", config, derivatives=[out], steps=("qsm",))
    (step,) = plan.sessions[0].steps
    assert step.problems == ()
    assert [str(path).endswith(maps.name) for path in step.inputs["r2"]] == [True]


def test_b1_above_and_below_one_give_the_same_train(head):
    images = head.series("mese")
    assert images.b1[head.mask].max() > 1.0
    assert (np.diff(images.series.signal[head.mask], axis=1)[:, 1:] < 0).mean() > 0.9


def test_faults_of_virtual_sessions_are_found(head, tmp_path):
    for fault in DRAWING.faults:
        root = tmp_path / fault.name.replace(" ", "-")
        write_cohort(root, head, CohortSettings(sessions=1, seed=2))
        assert fault.damage(root / "sub-01", np.random.default_rng(3))
        plan = plan_cohort(root, tmp_path / "out", load_config(), steps=("mese",))
        assert any(step.problems for session in plan.sessions for step in session.steps)


def test_series_are_grouped_by_name():
    names = [f"sub-1_echo-{echo}{part}_MESE" for echo in (2, 1) for part in ("_part-mag", "_part-phase")]
    files = [BidsFile(f"anat/{name}.nii.gz", BidsName.parse(f"{name}.nii.gz"), "anat") for name in names]
    ((series,), _) = group(files)
    assert series.parts == {IMAGES: tuple(f"anat/sub-1_echo-{e}_part-mag_MESE.nii.gz" for e in (1, 2))}
    assert "phase" in series.notes[0]
    ((phase,), _) = group([file for file in files if "phase" in file.path])
    assert "its magnitude is missing" in phase.problems[0]


def test_the_command_writes_the_maps(dataset, tmp_path):
    images = sorted(map(str, dataset.glob("sub-01/anat/*_MESE.nii.gz")))
    assert main(["mese", "--magnitude", *images, "--device", "cpu", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "sub-01" / "anat" / "sub-01_R2map.nii.gz").is_file()

import importlib.util
import json
import sys

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.cli.demo import _parts as demo_parts
from qsmengine.cli.demo.cohort import SHIFT_PPB, compare_groups
from qsmengine.cli.demo.compare import median_difference, relative_error
from qsmengine.cli.demo.diffusion import reconstruct_diffusion
from qsmengine.cli.demo.echoes import reconstruct_echoes
from qsmengine.cli.demo.extras import missing
from qsmengine.cli.demo.head import reconstruct_virtual_head
from qsmengine.cli.demo.summary import Summary, layout
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.main import main


@pytest.fixture
def summary():
    return Summary(Reporter(quiet=True))


def finish(summary, folder):
    summary.finish(folder, cpu(), 1.0)
    return json.loads((folder / "summary.json").read_text())


def test_measures_agree_with_their_formulas():
    rng = np.random.default_rng(40)
    truth = rng.standard_normal((5, 6, 7)) + 3
    estimate = truth + 0.1 * rng.standard_normal(truth.shape) + 1
    mask = rng.random(truth.shape) < 0.7
    e, t = estimate[mask], truth[mask]
    assert relative_error(estimate, truth, mask) == pytest.approx(100 * np.std(e - t) / np.std(t))
    assert relative_error(estimate, truth, mask, demean=False) == pytest.approx(
        100 * np.sqrt(np.sum((e - t) ** 2) / np.sum(t**2))
    )
    assert median_difference(estimate, truth, mask) == pytest.approx(np.median(np.abs(e - t)))


def test_layout_aligns_numbers_right_and_texts_left():
    assert layout([("name", "value"), ("a", 1.0), ("bcdefg", 12345.67)]) == [
        "name      value",
        "a           1.0",
        "bcdefg  12345.7",
    ]


def test_real_echoes_give_maps_and_a_picture(tmp_path, summary):
    reconstruct_echoes(tmp_path, cpu(), Reporter(quiet=True), summary)
    assert (tmp_path / "gradient-echo" / "Chimap.nii.gz").is_file()
    assert (tmp_path / "gradient-echo" / "overview.png").is_file()
    rows = {row["what"]: row["value"] for row in finish(summary, tmp_path)["Real gradient echoes"]}
    assert 1000 < rows["brain"] < 2000


def test_real_diffusion_agrees_with_the_scanner(tmp_path, summary):
    reconstruct_diffusion(tmp_path, cpu(), Reporter(quiet=True), summary)
    assert (tmp_path / "diffusion" / "overview.png").is_file()
    facts = finish(summary, tmp_path)
    assert facts["fa_correlation"] >= 0.9995
    assert facts["md_correlation"] >= 0.9999


def test_virtual_cohort_finds_the_drawn_differences(tmp_path, summary):
    compare_groups(tmp_path, cpu(), Reporter(quiet=True), summary)
    facts = finish(summary, tmp_path)
    (rows,) = [value for key, value in facts.items() if key.startswith("Virtual cohort")]
    assert {row["structure"] for row in rows} == set(SHIFT_PPB)
    for row in rows:
        low, high = map(float, row["95 % interval"].split(" .. "))
        assert low < row["truth [ppb]"] < high


def test_earlier_demo_is_not_replaced_without_force(tmp_path, capsys):
    (tmp_path / "summary.json").write_text("{}")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "--force" in capsys.readouterr().err


def test_without_extras_the_real_data_are_reconstructed_and_a_note_says_what_is_missing(monkeypatch, tmp_path):
    notes, reporter = [], Reporter(quiet=True)
    monkeypatch.setattr(reporter, "note", notes.append)
    monkeypatch.setattr("qsmengine.cli.demo.extras.missing", lambda package: f"no {package}")
    assert [part.__name__ for part in demo_parts(reporter)] == ["reconstruct_echoes", "reconstruct_diffusion"]
    assert notes == ["no report", "no stats", "the virtual head, the virtual cohort and pictures are left out"]


def test_with_extras_all_parts_run():
    reporter = Reporter(quiet=True)
    assert demo_parts(reporter)[2:] == [reconstruct_virtual_head, compare_groups]


def test_missing_extra_is_told_with_what_to_install(monkeypatch):
    assert missing("report") == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "qsmengine.stats")
    assert "qsmengine[stats]" in missing("stats")

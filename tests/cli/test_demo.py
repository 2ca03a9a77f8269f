import json

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.cli.demo.cohort import SHIFT_PPB, compare_groups
from qsmengine.cli.demo.compare import median_difference, relative_error
from qsmengine.cli.demo.diffusion import reconstruct_diffusion
from qsmengine.cli.demo.echoes import reconstruct_echoes
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

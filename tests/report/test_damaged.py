"""A session with a file that cannot be read is damaged, and does not stop the pages of the others."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.errors import InputError
from qsmengine.io.nifti import write_image
from qsmengine.report.records import read_series
from tests.report.results import GRID, write_session, write_table


@pytest.fixture
def out(tmp_path):
    """Two sessions without maps, with region tables."""
    for key in ("sub-01", "sub-02"):
        place = write_session(tmp_path, key)
        write_table(tmp_path, key, {"caudate": 0.045, "putamen": 0.058})
        for path in place.glob("*.nii.gz"):
            path.unlink()
    return tmp_path


FILES = {
    "desc-qsm_prov.json": ('{"Steps": [', "not JSON"),
    "desc-quality_qsm.tsv": ("snr\n", "has no row"),
    "desc-dgm_stats.tsv": ("", "region: no such column"),
    "seg-b_desc-dgm_stats.tsv": (
        "region\themisphere\tvolume_mm3\tchi_mean\ncaudate\tbilateral\t3500\t0,045\n",
        "chi_mean of caudate: '0,045' is not numeric",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_read_is_named_on_the_page_and_by_the_command(out, capsys, name):
    text, problem = FILES[name]
    (out / "sub-02" / "anat" / f"sub-02_{name}").write_text(text)
    assert main(["report", str(out)]) == 1
    said = capsys.readouterr().err
    assert f"sub-02_{name}: {problem}" in said
    assert said.count("note:") == 1
    page = (out / "sub-02.html").read_text()
    assert 'class="damaged"' in page
    assert problem.partition(":")[0] in page
    assert 'class="done"' in (out / "sub-01.html").read_text()
    index = (out / "index.html").read_text()
    assert f"sub-02_{name}" in index
    assert "sub-01" in index


def test_an_interactive_page_with_a_damaged_map_is_left_out(out, capsys):
    path = out / "sub-02" / "anat" / "sub-02_Chimap.nii.gz"
    write_image(path, np.zeros(GRID.shape, "f4"), GRID)
    path.write_bytes(path.read_bytes()[:60])
    assert main(["report", str(out), "--interactive", "--session", "sub-02"]) == 1
    assert "no interactive page" in capsys.readouterr().err
    assert not (out / "sub-02_volumes.html").exists()
    assert "truncated gzip" in (out / "sub-02.html").read_text()


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("Notes", 3, "Notes: is not a list"),
        ("Inputs", ["a"], "Inputs: is not a list of files"),
        ("Software", [], "Software: is not an object"),
        (
            "Acquisition",
            {"MagneticFieldStrength": "3T"},
            "Acquisition.MagneticFieldStrength: '3T' is not numeric",
        ),
        ("Steps", [{"Method": 3}], "Steps: is not a list of steps"),
        ("Steps", [{"Method": "a", "Parameters": 3}], "Steps: is not a list of steps"),
    ],
)
def test_provenance_of_the_wrong_form_names_the_field(out, field, value, problem):
    path = out / "sub-02" / "anat" / "sub-02_desc-qsm_prov.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(InputError, match=problem):
        read_series([path])


def test_fields_that_are_null_count_as_absent(out):
    path = out / "sub-02" / "anat" / "sub-02_desc-qsm_prov.json"
    path.write_text(json.dumps(dict.fromkeys(("Steps", "Notes", "Inputs", "Acquisition"))))
    (series,) = read_series([path])
    assert (series.steps, series.notes) == ((), ())


@pytest.mark.filterwarnings("error")
def test_a_map_without_values_in_a_slab_is_drawn(out):
    values = np.random.default_rng(0).normal(0, 0.05, GRID.shape).astype("f4")
    values[:3] = np.nan
    write_image(out / "sub-02" / "anat" / "sub-02_Chimap.nii.gz", values, GRID)
    assert write_reports(out, ["sub-02"])

"""Registration on a session's page, and structures of its table that are not reliable."""

import json

import numpy as np
import pytest

from qsmengine.io.nifti import write_image
from qsmengine.report.distribution import means_of
from qsmengine.report.methods_text import citation
from qsmengine.report.records import find_series, find_tables
from qsmengine.report.session_page import write_session_page
from qsmengine.report.sessions import SessionState
from qsmengine.stats.derivatives.collect import read_cohort
from tests.report.results import GRID

STEM = "sub-1_space-gre_desc-"
LIMITS = {"overlap": 0.85, "edges": 0.6, "mirror": 1.1}


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "sub-1" / "anat"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(2)
    for ending in ("reference_MEGRE", "brain_T1w"):
        write_image(folder / f"{STEM}{ending}.nii.gz", rng.uniform(0, 9, GRID.shape).astype("f4"), GRID)
    labels = np.zeros(GRID.shape, np.int16)
    labels[3:7, 3:7, 3:7] = 10
    write_image(folder / f"{STEM}dgm_dseg.nii.gz", labels, GRID)
    step = {"Stage": "registration", "Method": "rigid", "DOI": "10.1016/j.neuroimage.2010.09.025"}
    record = {"Software": {"qsmengine": "1", "kernels": "a"}, "Device": "cpu", "Notes": ["structures: rigid"],
              "Steps": [step | {"Parameters": LIMITS}]}  # fmt: skip
    (folder / f"{STEM}registration_prov.json").write_text(json.dumps(record))
    rows = ["region\themisphere\tvolume_mm3\treliable\treasons\tchi_mean\tchi_sd",
            "thalamus\tbilateral\t9000\t1\tn/a\t0.01\t0.001",
            "caudate\tbilateral\t90\t0\t0.1 mL, not 4 to 12\t0.05\t0.001"]  # fmt: skip
    (folder / "sub-1_seg-anatomy_desc-dgm_stats.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_both_images_change_places_without_scripts(out):
    page = write_session_page(out, SessionState("sub-1"), find_series(out), find_tables(out)).read_text()
    assert "<script" not in page
    assert page.count('class="flicker"') == 2
    names = "reference of the series and registered T1-weighted image"
    assert f'slices of {names}, Registration, space-gre; focus switches between them"' in page
    assert "to see the registered T1-weighted image in its place." in page
    assert "deep grey matter outlined, Registration, space-gre, with outlines" in page
    assert "structures: rigid" in page


def test_methods_state_the_limits(out):
    text = citation(find_series(out))
    assert (
        "Structures segmented in T1-weighted images of 1 session were brought to the grid of the maps" in text
    )
    assert "less than 0.85 of the smaller head" in text
    assert "(Avants et al. 2011)" in text


def test_structures_that_are_not_reliable_are_marked_and_not_compared(out):
    tables = find_tables(out)
    page = write_session_page(out, SessionState("sub-1"), find_series(out), tables).read_text()
    assert "<th>not reliable</th>" in page
    assert "0.1 mL, not 4 to 12" in page
    assert {region for _, region in means_of(tables[0]).labels} == {"thalamus"}
    (out / "participants.tsv").write_text("participant_id\nsub-1\n")
    values = read_cohort(out).measures.set_index(["region", "map", "statistic"])["value"]
    assert values["thalamus", "chi", "mean"] == 0.01
    assert np.isnan(values["caudate", "chi", "mean"])
    assert np.isnan(values["caudate", "", "volume_mm3"])

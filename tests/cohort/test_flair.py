"""A session with a T1-weighted and a FLAIR image: from files to table, page, methods and verification."""

import csv

import numpy as np
import pytest

from qsmengine.backend.device import resolve_device
from qsmengine.cohort.ledger.records import read_record
from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.cohort.verify.recompute import TOLERANCE, Verification
from qsmengine.errors import InputError
from qsmengine.io.nifti import read_image, write_image
from qsmengine.modalities.t1w import run as run_module
from qsmengine.modalities.t1w import session as session_module
from qsmengine.pipeline.configuration.config import load_config
from tests.modalities.t1w.making import flair, made

MASK = "sub-01/anat/sub-01_desc-lesionscreening_mask.nii.gz"


@pytest.fixture
def bids(dataset, monkeypatch):
    """A subject whose T1-weighted image the network segments perfectly; its FLAIR image shows a lesion."""
    monkeypatch.setattr(run_module, "segment", lambda *_: made().segmentation)
    for suffix, image in (("T1w", made().with_lesions), ("FLAIR", flair())):
        path = dataset.root / f"sub-01/anat/sub-01_{suffix}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, image, made().grid)
    return dataset.root


def run(bids, out):
    plan = plan_cohort(bids, out, load_config(preset="fast"))
    outcome = run_cohort(plan, RunSettings(workers=0, device="cpu", threads=1))
    return outcome.exit_code, read_record(out, "sub-01")[0].steps["anatomy"]


def row_of(out, name):
    with (out / f"sub-01/anat/sub-01_{name}.tsv").open(encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    return row


def test_candidates_are_in_table_page_and_methods_and_are_verified(bids, out):
    code, step = run(bids, out)
    assert (code, step.state) == (0, "done")
    assert any("screening only, look at each" in note for note in step.notes)
    mask = read_image(out / MASK).array > 0
    row = row_of(out, "volumes")
    assert float(row["screening_load"]) == pytest.approx(mask.sum() * made().grid.voxel_volume / 1e3, rel=1e-3)
    assert (row["screening_count"], row["lesions"], row["filled"]) == ("1", "n/a", "screening")
    white = read_image(out / MASK.replace("desc-lesionscreening_mask", "label-WM_probseg")).array
    assert white[mask].mean() > 0.95
    brain = read_image(out / MASK.replace("desc-lesionscreening_mask", "desc-brain_T1w")).array
    assert brain[mask].mean() < 0.9 * np.median(brain[(white > 0.95) & ~mask])
    assert row_of(out, "desc-quality_anatomy")["flair_refused"] == "0"
    write_reports(out)
    page = (out / "sub-01.html").read_text(encoding="utf-8")
    assert "candidates for lesions in the FLAIR image, screening only" in page
    methods = (out / "logs" / "CITATION.md").read_text(encoding="utf-8")
    assert "with a FLAIR image, which was screened for lesions of white matter, which count as" in methods
    verification = Verification(out, resolve_device("cpu", 1), bids)
    (verified,) = verification.run(verification.series())
    assert not verified.problem
    assert len(verified.differences) == len(list((out / "sub-01").rglob("*.nii.gz")))
    assert not verified.above(TOLERANCE)
    (bids / "sub-01/anat/sub-01_FLAIR.nii.gz").unlink()
    code, again = run(bids, out)
    assert (code, again.attempts) == (0, step.attempts + 1)
    assert not (out / MASK).exists()


def other_contrast(bids, _):
    path = bids / "sub-01/anat/sub-01_FLAIR.nii.gz"
    write_image(path, made().image, made().grid)
    return "the cortex is not brighter than white matter"


def not_finite(bids, _):
    path = bids / "sub-01/anat/sub-01_FLAIR.nii.gz"
    write_image(path, np.where(np.arange(53) == 5, np.nan, flair()).astype(np.float32), made().grid)
    return "voxels are not finite"


def another_head(_, monkeypatch):
    def refuse(*_):
        raise InputError("does not align with the T1-weighted image", field="flair")

    monkeypatch.setattr(session_module, "on_grid_of", refuse)
    return "does not align"


@pytest.mark.parametrize("fault", [other_contrast, not_finite, another_head])
def test_a_refused_image_leaves_the_anatomy(bids, out, monkeypatch, fault):
    reason = fault(bids, monkeypatch)
    code, step = run(bids, out)
    assert (code, step.state) == (0, "done")
    (note,) = [note for note in step.notes if note.startswith("sub-01_T1w.nii.gz: FLAIR image not used: ")]
    assert reason in note
    assert "\n" not in note
    row = row_of(out, "volumes")
    assert (row["screening_load"], row["screening_count"], row["filled"]) == ("n/a", "n/a", "n/a")
    assert float(row["gm"]) > 0
    quality = row_of(out, "desc-quality_anatomy")
    assert quality["flair_refused"] == "1"
    assert "FLAIR images refused" in quality["reasons"]
    assert not (out / MASK).exists()
    if fault is other_contrast:
        write_reports(out)
        assert reason in (out / "sub-01.html").read_text(encoding="utf-8")

"""A session whose T1-weighted image shows no structure: its anatomy fails with the reason, all else is done."""

from dataclasses import replace

import numpy as np

from qsmengine.cohort.ledger.records import read_record
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.io.nifti import write_image
from qsmengine.modalities.t1w import run as run_module
from qsmengine.pipeline.configuration.config import load_config
from tests.cohort.small import SETTINGS, write_cohort
from tests.modalities.t1w.making import made


def test_only_the_step_anatomy_fails(tmp_path, monkeypatch):
    whole = made().segmentation
    nothing = replace(whole, classes=np.minimum(whole.classes, 1).astype(np.uint8))
    monkeypatch.setattr(run_module, "segment", lambda *_: nothing)
    bids, out = write_cohort(tmp_path / "bids", 1), tmp_path / "out"
    write_image(bids / "sub-00/anat/sub-00_T1w.nii.gz", made().image, made().grid)
    plan = plan_cohort(bids, out, load_config(preset="fast", settings=SETTINGS))
    assert run_cohort(plan, RunSettings(workers=0, device="cpu", threads=1)).exit_code == 1
    steps = read_record(out, "sub-00")[0].steps
    assert steps["qsm"].state == "done"
    assert steps["anatomy"].state == "failed"
    assert "no structure of the deep grey matter is found" in steps["anatomy"].reason
    assert (out / "sub-00/anat/sub-00_Chimap.nii.gz").is_file()
    assert not list(out.rglob("*probseg*"))

"""A virtual cohort with faults from raw data to derivatives, through the commands."""

import json

import pytest

from qsmengine.cli.main import main
from qsmengine.cohort.ledger.records import read_record
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.pipeline.configuration.config import load_config
from tests.validator import errors

CHOICES = ("--preset", "fast", "--set", "inversion=tkd", "--steps", "qsm,dti,regions", "--device", "cpu")


@pytest.mark.slow
def test_good_sessions_finish_and_bad_ones_are_named(tmp_path, capsys):
    bids, out = tmp_path / "bids", tmp_path / "out"
    made = ("--sessions", "24", "--visits", "2", "--faults", "--modality", "gre", "dwi", "--voxel-size", "5")
    assert main(["phantom", *made, "--echo-times", "0.005", "0.015", "--out", str(bids), "--seed", "7"]) == 0
    faults = json.loads((bids / "derivatives" / "truth" / "faults.json").read_text())
    assert len(faults) == 6
    assert main(["plan", str(bids), str(out), *CHOICES]) == 1
    assert not out.exists()
    capsys.readouterr()
    assert main(["run", str(bids), str(out), *CHOICES, "--workers", "0", "--threads", "1"]) == 1
    told = capsys.readouterr()
    plan = plan_cohort(
        bids, out, load_config(preset="fast", settings=["inversion=tkd"]), steps=("qsm", "dti", "regions")
    )
    assert len(plan.sessions) == 24
    for session in plan.sessions:
        record, _ = read_record(out, session.key)
        wanted = "blocked" if session.key in faults else "done"
        assert record.state == wanted, (session.key, record)
        for step in session.steps:
            state = record.steps[step.name].state
            if session.key in faults and step.kind == faults[session.key]["Step"]:
                assert state == "blocked"
                assert record.steps[step.name].reason
                assert session.key in told.out + told.err
            else:
                assert state == "done"
                assert all((out / path).is_file() for path in step.outputs)
    assert errors(out) == []

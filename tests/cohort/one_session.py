"""One small session, run under the ledger."""

from __future__ import annotations

from qsmengine.cohort.ledger.records import read_record
from qsmengine.cohort.plan.model import Session
from qsmengine.cohort.work.exchange import Options
from qsmengine.cohort.work.execute import run_session
from tests.cohort.small import dti_step, qsm_step

OPTIONS = Options(run="test", device="cpu", threads=1)


def run(bids, out, *more, steps=None, **changes):
    steps = steps or (qsm_step("00", *more), dti_step("00"))
    return run_session(Session(subject="00", steps=steps), bids, out, OPTIONS.model_copy(update=changes))


def attempts(out):
    record, _ = read_record(out, "sub-00")
    return {name: step.attempts for name, step in record.steps.items()}

"""Code that runs in a Dask worker: it receives a session as text and returns the outcome as text.

As a preload module it prepares the workers of the run's own cluster: they leave Ctrl-C to the main process and
import everything that a reconstruction needs before the first session.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from qsmengine.cohort.ledger.fingerprints import HashCache, input_files
from qsmengine.cohort.plan.model import Session
from qsmengine.cohort.work.errors import LostDeviceError
from qsmengine.cohort.work.exchange import Options
from qsmengine.cohort.work.execute import run_session
from qsmengine.errors import QsmengineError

LOST_DEVICE = 70
"""Exit code of a worker whose GPU no longer responds."""

_caches: dict[str, HashCache] = {}


def dask_setup(worker: Any) -> None:  # noqa: ARG001  (Dask's name and signature)
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_remote(session: str, bids: str, out: str, options: str, ahead: str) -> str:
    """Run a session in this worker.

    Parameters
    ----------
    session
        JSON of a :class:`~qsmengine.cohort.plan.model.Session`.
    bids, out
        Folders, as paths on this machine.
    options
        JSON of :class:`~qsmengine.cohort.work.exchange.Options`.
    ahead
        JSON of the session that is likely to follow, or "": its inputs are read while this one runs.

    Returns
    -------
    str
        JSON of a :class:`~qsmengine.cohort.work.exchange.SessionOutcome`.
    """
    chosen = Options.model_validate_json(options)
    cache = _caches.setdefault(chosen.run, HashCache())
    if chosen.spread:
        number = _number_of_worker()
        chosen = chosen.model_copy(update={"device": f"cuda:{number % chosen.spread}"})
    if ahead:
        reader = threading.Thread(target=_read_ahead, args=(ahead, Path(bids), cache), daemon=True)
        reader.start()
    try:
        outcome = run_session(Session.model_validate_json(session), Path(bids), Path(out), chosen, cache)
    except LostDeviceError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201
        os._exit(LOST_DEVICE)  # the session restarts elsewhere, and a new process initialises the GPU again
    return outcome.model_dump_json()


def _read_ahead(ahead: str, bids: Path, cache: HashCache) -> None:
    session = Session.model_validate_json(ahead)
    for step in session.steps:
        try:
            cache.read_ahead(input_files(step, bids))
        except (QsmengineError, OSError):  # reported when the session runs
            continue


def _number_of_worker() -> int:
    from distributed import get_worker

    name = str(get_worker().name)
    return int(name) if name.isdecimal() else 0

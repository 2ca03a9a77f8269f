"""Code that runs in a Dask worker: it receives a session as text and returns the outcome as text.

As a preload module it prepares the workers of the run's own cluster: they leave Ctrl-C to the main process and
import everything that a reconstruction needs before the first session.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from qsmengine.backend.device import resolve_device
from qsmengine.cohort.ledger.fingerprints import HashCache, input_files
from qsmengine.cohort.plan.model import Session
from qsmengine.cohort.work.errors import LostDeviceError
from qsmengine.cohort.work.exchange import Options, SessionOutcome
from qsmengine.cohort.work.execute import run_session
from qsmengine.errors import DeviceError, QsmengineError

_caches: dict[str, HashCache] = {}
_lost: list[str] = []
"""Why this process can no longer use its GPU."""


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
    worker = _this_worker()
    if chosen.spread:
        chosen = chosen.model_copy(update={"device": f"cuda:{_number(worker) % chosen.spread}"})
    planned = Session.model_validate_json(session)
    place = {"place": str(worker.nanny or worker.address), "address": str(worker.address)}
    problem = _device_problem(chosen)
    if problem:
        return SessionOutcome(session=planned.key, device_problem=problem, **place).model_dump_json()
    cache = _caches.setdefault(chosen.run, HashCache())
    if ahead:
        reader = threading.Thread(target=_read_ahead, args=(ahead, Path(bids), cache), daemon=True)
        reader.start()
    try:
        outcome = run_session(planned, Path(bids), Path(out), chosen, cache)
    except LostDeviceError as error:
        _lost.append(str(error))
        outcome = SessionOutcome(session=planned.key, device_problem=str(error), lost_device=True)
    return outcome.model_copy(update=place).model_dump_json()


def _device_problem(options: Options) -> str:
    """Reason why this process cannot use the GPU of its options; "" if it can."""
    if _lost:
        return _lost[0]
    if options.device.startswith("cuda"):
        try:
            resolve_device(options.device, options.threads)
        except DeviceError as error:
            return str(error)
    return ""


def _read_ahead(ahead: str, bids: Path, cache: HashCache) -> None:
    session = Session.model_validate_json(ahead)
    for step in session.steps:
        try:
            cache.read_ahead(input_files(step, bids))
        except (QsmengineError, OSError):  # reported when the session runs
            continue


def _this_worker() -> Any:
    from distributed import get_worker

    return get_worker()


def _number(worker: Any) -> int:
    name = str(worker.name)
    return int(name) if name.isdecimal() else 0

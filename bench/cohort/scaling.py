"""Sessions an hour with one and two workers, and what the engine adds to the sessions' own time."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from qsmengine.cohort.ledger.events import Event
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.plan.model import CohortPlan, Session, SessionRecord, Step, StepRecord
from qsmengine.cohort.pools.cluster import Share, local_pool
from qsmengine.cohort.pools.dask_pool import DaskPool
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.cohort.work.exchange import Options, SessionOutcome
from qsmengine.phantom.cohort import CohortSettings, write_cohort
from qsmengine.phantom.head import virtual_head
from qsmengine.pipeline.configuration.config import load_config

EDGE = 3.0
"""Voxels of the sessions [mm]."""
STUB = 0.02
"""Seconds of a session that computes nothing."""


def measure_scaling(folder: Path, sessions: int, preset: str) -> list[dict[str, Any]]:
    """Run a virtual cohort with one and with two workers of one thread each, and with this process alone.

    `overhead` is the part of the workers' time that no step used, from the first session's start to the last
    one's end; `seconds` also has the start and end of the workers.
    """
    head = virtual_head(voxel_size=(EDGE,) * 3)
    write_cohort(folder / "bids", head, CohortSettings(sessions=sessions))
    config = load_config(preset=preset)
    rows = []
    for workers in (0, 1, 2):
        plan = plan_cohort(folder / "bids", folder / f"out-{workers}", config)
        rows.append(run_plan(plan, workers) | {"name": "scaling", "preset": preset})
    return rows


def run_plan(plan: CohortPlan, workers: int, device: str = "cpu") -> dict[str, Any]:
    """Seconds, sessions an hour and overhead of a plan with so many workers, of one thread each on the CPU."""
    times: dict[str, float] = {}

    def on_event(event: Event) -> None:
        if event.kind in {"begin", "session"}:
            times[event.kind] = time.perf_counter()

    start = time.perf_counter()
    settings = RunSettings(workers=workers, device=device, threads=1 if device == "cpu" else None)
    outcome = run_cohort(plan, settings, on_event)
    seconds = time.perf_counter() - start
    if outcome.exit_code:
        raise RuntimeError(f"{dict(outcome.reasons)}")
    steps = [step.seconds for record in outcome.records.values() for step in record.steps.values()]
    working = times["session"] - times["begin"]
    return {
        "workers": workers,
        "sessions": outcome.total,
        "seconds": seconds,
        "sessions_per_hour": 3600 * outcome.total / working,
        "step_seconds": sum(steps) / outcome.total,
        "overhead": 1 - sum(steps) / (working * max(1, workers)),
    }


def measure_scheduler(folder: Path, sessions: int, workers: int = 2) -> dict[str, Any]:
    """Sessions of a fixed duration that compute and write nothing: what scheduling them costs.

    The messages are those of Dask's streams between client, scheduler and workers; heartbeats and the transfer
    of an outcome from its worker to the client, one request and one reply, are not among them.
    """
    planned = tuple(
        Session(subject=f"{number:05d}", steps=(Step(name="qsm", kind="qsm", inputs={}, settings=_settings()),))
        for number in range(sessions)
    )
    plan = CohortPlan(str(folder / "bids"), str(folder / "out"), planned)
    started: list[float] = []
    pools: list[DaskPool] = []
    messages: list[tuple[int, int]] = []

    def make(plan: CohortPlan, _: threading.Event) -> DaskPool:
        pools.append(local_pool(plan, Share(workers, 1, None), function=stub))
        return pools[0]

    def on_event(event: Event) -> None:
        if event.kind in {"begin", "end"}:
            started.append(time.perf_counter())
        if event.kind == "session" and event.tally.finished == sessions:
            messages.extend(_messages(pools[0]))

    settings = RunSettings(workers=workers, device="cpu")
    start, cpu = time.perf_counter(), time.process_time()
    outcome = run_cohort(plan, settings, on_event, make_pool=make)
    if outcome.count("done") != sessions:
        raise RuntimeError(f"{outcome.count('done')} of {sessions} sessions done")
    seconds = time.perf_counter() - start
    working = started[1] - started[0]
    return {
        "name": "scheduler",
        "sessions": sessions,
        "workers": workers,
        "stub_ms": 1e3 * STUB,
        "seconds": seconds,
        "ms_per_session": 1e3 * (working * workers / sessions - STUB),
        "leader_ms": 1e3 * (time.process_time() - cpu) / sessions,
        "messages_per_session": sum(number for number, _ in messages) / sessions,
        "kib_per_session": sum(size for _, size in messages) / sessions / 1024,
    }


def _messages(pool: DaskPool) -> list[tuple[int, int]]:
    """Messages and bytes that the streams between client, scheduler and workers have sent so far."""
    streams = [
        *pool._own.cluster.scheduler.stream_comms.values(),  # noqa: SLF001
        *pool._own.cluster.scheduler.client_comms.values(),  # noqa: SLF001
        pool._client.scheduler_comm,  # noqa: SLF001
    ]
    sent = pool._client.run(_sent).values()  # noqa: SLF001
    return [*((one.message_count, one.byte_count) for one in streams), *sent]


def _sent(dask_worker: Any) -> tuple[int, int]:
    stream = dask_worker.batched_stream
    return stream.message_count, stream.byte_count


def stub(session: str, bids: str, out: str, options: str, ahead: str) -> str:  # noqa: ARG001
    """Stand in for a session in a worker: sleeps."""
    start = time.perf_counter()
    key = f"sub-{json.loads(session)['subject']}"
    Options.model_validate_json(options)
    time.sleep(STUB)
    record = SessionRecord(session=key, steps={"qsm": StepRecord(state="done")})
    outcome = SessionOutcome(session=key, record=record, ran=("qsm",), seconds=time.perf_counter() - start)
    return outcome.model_dump_json()


_TREE: dict[str, object] = {}


def _settings() -> dict[str, object]:
    """Configuration as every step of a plan carries it."""
    if not _TREE:
        _TREE.update(load_config().as_tree())
    return _TREE

"""GPUs that fail during a run: the pool restarts their worker, leaves it out, or ends the run."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import pytest

from qsmengine.cohort.plan.model import CohortPlan, Session, SessionRecord
from qsmengine.cohort.pools import base
from qsmengine.cohort.pools.base import Finished, SerialPool
from qsmengine.cohort.pools.dask_pool import DaskPool
from qsmengine.cohort.pools.devices import Watch
from qsmengine.cohort.work.errors import LostDeviceError
from qsmengine.cohort.work.exchange import Options, SessionOutcome
from qsmengine.errors import DeviceError

PLAN = CohortPlan("bids", "out", ())


def unusable(place: str = "a") -> SessionOutcome:
    return SessionOutcome(session="sub-1", place=place, address=place, device_problem="cuda:0 does not answer")


def lost(session: str, place: str = "a") -> SessionOutcome:
    return unusable(place).model_copy(update={"session": session, "lost_device": True})


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([unusable(), unusable()], [False, True]),
        ([unusable("a"), unusable("b")], [False, False]),
        ([lost("sub-1"), lost("sub-1"), lost("sub-1")], [False, False, False]),
        ([lost("sub-1"), lost("sub-2")], [False, True]),
        ([lost("sub-1", "a"), lost("sub-2", "b")], [False, False]),
        ([lost("sub-1"), unusable(), unusable()], [False, False, True]),
    ],
)
def test_a_worker_is_hopeless_if_a_new_process_or_another_session_fails_too(
    failures: list[SessionOutcome], expected: list[bool]
) -> None:
    watch = Watch()
    assert [watch.hopeless(outcome) for outcome in failures] == expected


@pytest.mark.parametrize("failure", [unusable, lambda: lost("sub-2")])
def test_a_finished_session_clears_a_worker(failure: Any) -> None:
    watch = Watch()
    watch.hopeless(unusable())
    watch.hopeless(lost("sub-1"))
    watch.finished("a")
    assert not watch.hopeless(failure())


class Client:
    """A client whose sessions end with the given outcomes; notes what it is asked to do."""

    def __init__(self, outcomes: list[SessionOutcome], workers: int = 2, *, guarded: bool = True) -> None:
        self.outcomes, self.asked, self.guarded = outcomes, list[tuple[str, str]](), guarded
        self.names = [f"tcp://{number}" for number in range(workers)]
        self.options: list[Options] = []

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.names, 1)

    def submit(self, *arguments: Any, **_: Any) -> Client:
        self.options.append(Options.model_validate_json(arguments[4]))
        return self

    def add_done_callback(self, call: Any) -> None:
        call(self)

    def result(self, timeout: float) -> str:
        assert timeout > 0
        return self.outcomes.pop(0).model_dump_json()

    def release(self) -> None:
        self.asked.append(("release", ""))

    def restart_workers(self, addresses: list[str], **_: Any) -> None:
        self.asked.append(("restart", addresses[0]))
        if not self.guarded:
            raise ValueError("Restarting workers requires a nanny to be used.")

    def retire_workers(self, addresses: list[str]) -> None:
        self.asked.append(("retire", addresses[0]))

    def cancel(self, *_: Any, **__: Any) -> None: ...

    def close(self, **_: Any) -> None: ...


def collect(pool: DaskPool, sessions: int, **options: Any) -> list[Finished]:
    found: list[Finished] = []
    for number in range(sessions):
        pool.submit(Session(subject=str(number)), Options(run="r", device="cuda", **options), None)
        found += pool.wait(0)
    return found


def test_a_hopeless_worker_is_left_out_once_and_its_sessions_return() -> None:
    client, left = Client([unusable(), unusable(), lost("sub-1", "b")], workers=3), list[str]()
    with closing(DaskPool(client, PLAN, wanted=3, leave_out=left.append)) as pool:
        found = collect(pool, 3)
    assert [(one.returned, one.lost) for one in found] == [(True, False), (True, False), (False, True)]
    assert [what for what in client.asked if what[0] != "release"] == [("restart", "a"), ("restart", "b")]
    assert left == ["a"]
    assert "restarted" in found[0].note
    assert "left out" in found[1].note


def test_a_worker_without_a_guardian_is_retired() -> None:
    client = Client([unusable()], guarded=False)
    with closing(DaskPool(client, PLAN)) as pool:
        collect(pool, 1)
    assert client.asked[-2:] == [("restart", "a"), ("retire", "a")]


def test_spare_workers_replace_those_left_out() -> None:
    client = Client([unusable()] * 3, workers=1)
    with closing(DaskPool(client, PLAN, wanted=1, spares=1)) as pool:
        assert len(collect(pool, 2)) == 2
        with pytest.raises(DeviceError, match="no usable GPU is left: cuda:0 does not answer"):
            collect(pool, 1)


def test_without_a_gpu_the_cpu_computes_where_the_user_left_the_choice() -> None:
    done = SessionOutcome(session="sub-2", record=SessionRecord(session="sub-2"))
    client = Client([unusable(), unusable(), done], workers=1)
    with closing(DaskPool(client, PLAN, wanted=1)) as pool:
        found = collect(pool, 3, fall_back=True, spread=1)
    assert [(o.device, o.spread) for o in client.options] == [("cuda", 1), ("cuda", 1), ("cpu", 0)]
    assert "the CPU computes from now on" in found[1].note
    assert found[2].outcome == done


def test_a_process_that_lost_its_gpu_begins_no_other_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: Any) -> None:
        raise LostDeviceError("cuda:0 was lost: ECC")

    monkeypatch.setattr(base, "run_session", lose)
    pool = SerialPool(PLAN, threading.Event())
    for subject in ("1", "2"):
        pool.submit(Session(subject=subject), Options(run="r"), None)
    assert [one.error for one in pool.wait(0)] == ["cuda:0 was lost: ECC"]
    with pytest.raises(DeviceError, match="ECC; run again to resume"):
        pool.wait(0)

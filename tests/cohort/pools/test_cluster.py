"""Workers of a Dask cluster: how many, where they listen, what becomes of one that dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import CancelledError
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest
from distributed import KilledWorker
from distributed.core import Status

from qsmengine.cohort.plan.model import CohortPlan, Session
from qsmengine.cohort.pools import cluster, dask_setup
from qsmengine.cohort.pools.cluster import Share, join_scheduler, local_pool, open_pool, share_machine
from qsmengine.cohort.pools.dask_pool import DaskPool
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.cohort.work.exchange import Options, SessionOutcome
from qsmengine.errors import DeviceError, UsageError
from tests.cohort.small import derivatives, dti_step, plan_of, qsm_step, write_cohort

GIB = 1 << 30
OPTIONS = Options(run="test", device="cpu", threads=1)


def planned(sessions, memory=GIB, step=qsm_step):
    steps = (step("00").model_copy(update={"memory": memory}),)
    return CohortPlan("b", "o", tuple(Session(subject=str(n), steps=steps) for n in range(sessions)))


def where(session, bids, out, options, ahead):
    """Stand in for a session: tells the process; kills it for one session."""
    if '"subject":"killer"' in session:
        os.kill(os.getpid(), signal.SIGKILL)
    if '"subject":"broken"' in session:
        raise KeyError("x")
    key = Session.model_validate_json(session).key
    return SessionOutcome(session=key, worker=str(os.getpid())).model_dump_json()


def collect(pool, count):
    found: list[Any] = []
    deadline = time.monotonic() + 60
    while len(found) < count and time.monotonic() < deadline:
        found += pool.wait(0.5)
    return found


@pytest.mark.parametrize(
    ("cores", "memory", "settings", "expected"),
    [
        (8, 64 * GIB, {}, (4, 2)),
        (8, 64 * GIB, {"threads": 4}, (2, 4)),
        (8, 64 * GIB, {"workers": 8}, (8, 1)),
        (8, 3 * GIB, {}, (2, 4)),
        (1, 64 * GIB, {}, (1, 1)),
        (64, 640 * GIB, {}, (20, 3)),
        (8, 64 * GIB, {"memory": 3 * GIB}, (2, 4)),
    ],
)
def test_workers_follow_cores_memory_and_sessions(cores, memory, settings, expected):
    share = share_machine(planned(20), RunSettings(device="cpu", **settings), cores=cores, memory=memory)
    assert (share.workers, share.threads) == expected
    assert share.memory * share.workers <= settings.get("memory", memory)
    assert share.gpus == 0


def test_one_worker_a_gpu(monkeypatch):
    monkeypatch.setattr(cluster, "cuda_devices", lambda: (4, ""))
    share = share_machine(planned(20), RunSettings(), cores=32, memory=256 * GIB)
    assert (share.workers, share.threads, share.gpus) == (4, 8, 4)
    assert share_machine(planned(20), RunSettings(device="cpu"), cores=32, memory=256 * GIB).gpus == 0


def test_a_session_larger_than_memory_does_not_take_workers_from_the_others():
    plan = planned(9)
    large = Session(subject="large", steps=(dti_step("00").model_copy(update={"memory": 500 * GIB}),))
    mixed = CohortPlan("b", "o", (*plan.sessions, large))
    settings = RunSettings(device="cpu")
    assert share_machine(mixed, settings, cores=8, memory=64 * GIB).workers == 4
    alone = CohortPlan("b", "o", (large,))
    assert share_machine(alone, settings, cores=8, memory=4 * GIB).workers == 1


def test_missing_packages_and_contradictions_are_told(monkeypatch, tmp_path):
    plan = planned(1)
    with pytest.raises(UsageError, match="exclude each other"):
        open_pool(plan, RunSettings(scheduler="tcp://x:1", slurm=tmp_path), OPTIONS)
    with pytest.raises(DeviceError, match=r"no scheduler at tcp://127\.0\.0\.1:9"):
        join_scheduler(plan, "tcp://127.0.0.1:9", timeout=0.5)
    monkeypatch.setattr(dask_setup, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"qsmengine\[cohort\]"):
        open_pool(plan, RunSettings(), OPTIONS)


def test_workers_listen_on_the_loopback_interface_only_and_errors_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dask_setup.configure()
    with closing(local_pool(planned(1), Share(1, 1, None), function=where)) as pool:
        assert len(pool.workers()) == 1
        for name in ("1", "broken"):
            pool.submit(Session(subject=name), OPTIONS, None)
        found = {one.session.subject: one for one in collect(pool, 2)}
        worker = int(found["1"].outcome.worker)
        assert found["broken"].error == "unexpected KeyError: 'x'"
        assert worker != os.getpid()
        listening = addresses_listened_on(os.getpid()) | addresses_listened_on(worker)
        assert listening <= {"0100007F", "00000000000000000000000001000000"}
        assert listening
        for leader_or_worker in (os.getpid(), worker):
            assert not served(leader_or_worker)
        (scratch,) = Path(tempfile.gettempdir()).glob(".qsmengine-workers.*")
        assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
        assert not (Path(tempfile.gettempdir()) / "dask-scratch-space").exists()
        pool.submit(Session(subject="killer"), OPTIONS, None)
        assert [one.lost for one in collect(pool, 1)] == [True]
        pool.submit(Session(subject="2"), OPTIONS, None)
        assert int(collect(pool, 1)[0].outcome.worker) != worker
    assert not Path(f"/proc/{worker}").exists()
    assert not scratch.exists()


def served(pid):
    """Ports of a process that answer to HTTP."""
    found = []
    for port in ports_listened_on(pid):
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        with suppress(HTTPException, OSError):
            connection.request("GET", "/health")
            connection.getresponse()
            found.append(port)
        connection.close()
    return found


@pytest.mark.slow
def test_the_dashboard_is_served_on_request_and_only_on_the_loopback_interface():
    dask_setup.configure()
    with closing(local_pool(planned(1), Share(1, 1, None), dashboard=True, function=where)) as pool:
        assert pool.link.startswith("http://127.0.0.1:")
        assert served(os.getpid())


def ports_listened_on(pid):
    return {int(address.split(":")[1], 16) for address in sockets_listened_on(pid)}


def addresses_listened_on(pid):
    return {address.split(":")[0] for address in sockets_listened_on(pid)}


def sockets_listened_on(pid):
    """Local addresses and ports of the listening sockets of a process, as /proc has them."""
    inodes, found = set(), set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            inodes.add(str(entry.readlink()))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1])
    return found


class FakeClient:
    """A client whose one future ends with an error."""

    def __init__(self, error):
        self.error = error

    def nthreads(self):
        return {"tcp://a": 1}

    def submit(self, *_, **__):
        return self

    def add_done_callback(self, call):
        call(self)

    def result(self, timeout):
        assert timeout > 0
        raise self.error

    def cancel(self, *_, **__):
        return None

    def close(self, **_):
        return None


@pytest.mark.parametrize("kind", [CancelledError, asyncio.CancelledError])
def test_a_lost_scheduler_ends_the_run_as_a_lack_of_the_machine(tmp_path, kind):
    plan = CohortPlan("b", str(tmp_path), planned(2).sessions)
    with pytest.raises(DeviceError, match="run again to resume"):
        run_cohort(plan, RunSettings(), make_pool=lambda p, _: DaskPool(FakeClient(kind()), p))


@pytest.mark.parametrize("error", [KilledWorker("x", None, 0), TimeoutError()], ids=["killed", "never fetched"])
def test_an_outcome_that_died_with_its_worker_is_asked_for_again(error):
    with closing(DaskPool(FakeClient(error), planned(1))) as pool:
        pool.submit(Session(subject="1"), OPTIONS, None)
        assert [one.lost for one in pool.wait(0)] == [True]


@pytest.mark.slow
def test_a_worker_whose_guardian_gave_up_is_started_anew(monkeypatch):
    monkeypatch.setattr("qsmengine.cohort.pools.dask_pool.MISSING_PATIENCE", 0.5)
    dask_setup.configure()
    with closing(local_pool(planned(1), Share(1, 1, None), function=where)) as pool:
        made = pool._own.cluster
        guardian = made.workers[0]
        guardian.status = Status.starting  # a guardian does not restart what dies while it starts
        os.kill(guardian.pid, signal.SIGKILL)
        while guardian.is_alive():
            time.sleep(0.02)
        pool.submit(Session(subject="2"), OPTIONS, None)
        assert collect(pool, 1)[0].outcome is not None
        assert made.workers[0] is not guardian


def address_in(path):
    """Address in a file that a scheduler is about to write."""
    for _ in range(1200):
        with suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads(path.read_text())["address"]
        time.sleep(0.05)
    raise TimeoutError(path)


@pytest.mark.slow
def test_a_running_scheduler_is_joined_and_left_running(tmp_path):
    bids = write_cohort(tmp_path / "bids", 2)
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
         "--no-dashboard", "--scheduler-file", str(tmp_path / "scheduler.json")],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    worker = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file",
         str(tmp_path / "scheduler.json"), "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard"],
        stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        address = address_in(tmp_path / "scheduler.json")
        outcome = run_cohort(
            plan_of(bids, tmp_path / "out", 2), RunSettings(scheduler=address, device="cpu", threads=1)
        )
        assert outcome.exit_code == 0
        assert scheduler.poll() is None
    finally:
        for process in (worker, scheduler):
            process.terminate()
            process.wait(20)
    serial = run_cohort(plan_of(bids, tmp_path / "serial", 2), RunSettings(workers=0, device="cpu"))
    assert serial.exit_code == 0
    assert derivatives(tmp_path / "serial") == derivatives(tmp_path / "out")

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from qsmengine.cohort.ledger.leases import Claim, acquire, find, release_gone
from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.ledger.sweep import remove_leftovers
from qsmengine.io.owned import owned_name
from qsmengine.io.processes import is_gone, this_process

KEY = "sub-01"


def leave_behind(out: Path, *, age: float = 1e4, **changes: Any) -> Path:
    """A claim whose holder does not touch it any more."""
    claim = acquire(out, KEY)
    assert claim is not None
    folder = Places(out).claim(KEY)
    path = folder / str(find(folder).number)
    content = json.loads(path.read_text())
    content["process"] = asdict(replace(this_process(), **changes))
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age,) * 2)
    return path


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def race(out: Path, takers: int) -> list[Claim]:
    """Claims that `takers` threads got by asking at once."""
    barrier = threading.Barrier(takers)
    won: list[Claim] = []

    def take() -> None:
        barrier.wait()
        claim = acquire(out, KEY)
        if claim is not None:
            won.append(claim)

    threads = [threading.Thread(target=take) for _ in range(takers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_a_claim_is_held_once_and_free_after_its_release(tmp_path):
    with acquire(tmp_path, KEY) as first:
        assert first.held
        assert acquire(tmp_path, KEY) is None
        assert acquire(tmp_path, "sub-02") is not None
    assert not first.held or find(Places(tmp_path).claim(KEY)).released
    with acquire(tmp_path, KEY) as second:
        assert second.held
        assert not first.held


@pytest.mark.parametrize("left", [False, True])
def test_one_of_many_threads_gets_the_claim(tmp_path, left):
    for number in range(20):
        out = tmp_path / str(number)
        if left:
            leave_behind(out)
        won = race(out, 8)
        assert len(won) == 1
        assert won[0].held


_TAKER = """
import sys
from pathlib import Path
from qsmengine.cohort.ledger.leases import acquire
out = Path(sys.argv[1])
got = []
for number in range(60):
    claim = acquire(out / str(number), "sub-01")
    if claim is not None:
        got.append(number)
print(*got)
sys.stdout.flush()
sys.stdin.read()
"""


def test_one_of_several_processes_takes_over_what_was_left_behind(tmp_path):
    for number in range(60):
        leave_behind(tmp_path / str(number))
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", _TAKER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    got = [taker.stdout.readline().split() for taker in takers]
    for taker in takers:
        taker.communicate("")
    assert Counter(n for numbers in got for n in numbers) == {str(n): 1 for n in range(60)}


def test_claim_of_another_machine_is_taken_only_after_its_time(tmp_path):
    path = leave_behind(tmp_path, age=5, host="elsewhere")
    assert acquire(tmp_path, KEY, expiry=60) is None
    os.utime(path, (time.time() - 61,) * 2)
    assert acquire(tmp_path, KEY, expiry=60) is not None


def test_claim_of_another_machine_from_the_future_expires_like_any(tmp_path):
    path = leave_behind(tmp_path, age=-1e6, host="elsewhere")
    assert acquire(tmp_path, KEY, expiry=0.5) is None
    assert abs(path.stat().st_mtime - time.time()) < 10
    time.sleep(0.6)
    assert acquire(tmp_path, KEY, expiry=0.5) is not None


def test_holder_whose_clock_is_ahead_keeps_the_claim(tmp_path, monkeypatch):
    utime = os.utime
    monkeypatch.setattr(os, "utime", lambda path, times=None: utime(path, times or (time.time() + 1e6,) * 2))
    with acquire(tmp_path, KEY, expiry=1.0):
        path = Places(tmp_path).claim(KEY) / "1"
        content = json.loads(path.read_text())
        content["process"]["host"] = "elsewhere"
        path.write_text(json.dumps(content))
        for _ in range(8):
            time.sleep(0.2)
            assert acquire(tmp_path, KEY, expiry=1.0) is None


def test_claim_of_a_dead_process_here_is_free_at_once(tmp_path):
    leave_behind(tmp_path, age=0, pid=dead_process())
    assert acquire(tmp_path, KEY) is not None


def test_same_number_of_another_process_is_not_the_holder(tmp_path):
    leave_behind(tmp_path, age=0, started="1")
    assert acquire(tmp_path, KEY) is not None


def test_same_number_in_another_container_is_not_judged(tmp_path):
    assert not is_gone(replace(this_process(), space="another", pid=dead_process()))


def test_holder_keeps_touching_and_so_keeps_the_claim(tmp_path):
    beats = []
    with acquire(tmp_path, KEY, expiry=1.0, on_beat=lambda: beats.append(1)):
        time.sleep(1.5)
        folder = Places(tmp_path).claim(KEY)
        content = json.loads((folder / "1").read_text())
        content["process"]["host"] = "elsewhere"
        (folder / "1").write_text(json.dumps(content))
        assert acquire(tmp_path, KEY, expiry=1.0) is None
    assert beats


def test_who_lost_a_claim_sees_it_and_cannot_release_the_next_one(tmp_path):
    first = acquire(tmp_path, KEY)
    path = Places(tmp_path).claim(KEY) / "1"
    path.write_text(path.read_text().replace('"pid": ', '"pid": 9999'))
    second = acquire(tmp_path, KEY)
    assert second is not None
    assert not first.held
    first.release()
    assert second.held
    assert acquire(tmp_path, KEY) is None


def test_a_claim_that_was_cut_short_expires_like_any(tmp_path):
    path = Places(tmp_path).claim(KEY) / "1"
    path.parent.mkdir(parents=True)
    path.touch()
    assert acquire(tmp_path, KEY) is None
    os.utime(path, (time.time() - 100,) * 2)
    assert acquire(tmp_path, KEY) is not None


def test_without_links_the_claim_is_made_exclusively_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert len(race(tmp_path, 8)) == 1
    assert acquire(tmp_path, KEY) is None


def test_end_of_a_run_releases_what_its_dead_workers_held_and_nothing_else(tmp_path):
    leave_behind(tmp_path / "a", age=0, pid=dead_process())
    path = Places(tmp_path / "a").claim(KEY) / "1"
    path.write_text(path.read_text().replace('"run": ""', '"run": "mine"'))
    release_gone(tmp_path / "a", "other")
    assert not find(path.parent).released
    release_gone(tmp_path / "a", "mine")
    assert find(path.parent).released
    with acquire(tmp_path / "b", KEY, run="mine") as held:
        release_gone(tmp_path / "b", "mine")
        assert held.held


def test_nothing_but_numbers_stays_in_the_folder(tmp_path):
    for _ in range(3):
        with acquire(tmp_path, KEY):
            pass
    assert [path.name for path in Places(tmp_path).claim(KEY).iterdir()] == ["3"]


def test_a_run_removes_temporary_files_of_killed_processes_from_finished_sessions(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = Places(tmp_path).claim("sub-01")
    folder.mkdir(parents=True)
    dead = folder / owned_name("claim", owner=replace(this_process(), pid=ended.pid, started="1"))
    living = folder / owned_name("claim")
    for path in (dead, living):
        path.touch()
    remove_leftovers(tmp_path, run="r", expiry=60.0)
    assert list(folder.iterdir()) == [living]

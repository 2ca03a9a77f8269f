import importlib.util
import sys
import time

import pytest

from bench.host_work import command
from bench.host_work.clock import CALIBRATION, inside
from qsmengine.pipeline.configuration.presets import PRESETS

SLOW = """
import time
def outer(n):
    time.sleep(0.05)
    return inner(n)
def inner(n):
    return sum(i * i for i in range(n))
def fails():
    time.sleep(0.05)
    raise ValueError
"""


@pytest.fixture
def slow(tmp_path):
    (tmp_path / "watched").mkdir()
    path = tmp_path / "watched" / "slow.py"
    path.write_text(SLOW)
    spec = importlib.util.spec_from_file_location("slow", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_clock_runs_inside_the_folder_only(slow, tmp_path):
    before = sys.getprofile()
    with inside(tmp_path / "watched") as clock:
        time.sleep(0.05)
        assert clock.seconds == 0
        slow.outer(200_000)
        first = clock.seconds
        with pytest.raises(ValueError):  # noqa: PT011  (the file's own)
            slow.fails()
        time.sleep(0.05)
    assert sys.getprofile() is before
    assert first >= 0.05
    assert clock.seconds >= first + 0.05
    assert 0 < clock.cpu_seconds < clock.seconds + 0.01
    assert 0 <= clock.own_seconds < 1e-3


def test_clock_tells_what_it_costs_itself(tmp_path, monkeypatch):
    def nothing():
        pass

    readings = iter((0.0, 1.0, 2.0, 5.0))  # its calibration takes 1 s without the clock, and 3 s with it
    monkeypatch.setattr(time, "process_time", lambda: next(readings))
    with inside(tmp_path) as clock:
        for _ in range(1000):
            nothing()
    assert 2000 <= clock.events < 2100
    assert clock.own_seconds == pytest.approx(clock.events * 2.0 / (2 * CALIBRATION))


def test_steps_of_a_chain_are_counted_under_the_standin():
    rows = command.measure(["fast"], (40, 40, 28))["presets"]["fast"]
    by_step = {row["step"]: row for row in rows}
    upload, single = by_step["upload"], by_step["single step: tfi"]
    assert list(by_step)[-1] == "reference: region_mean"
    echo = 4 * 40 * 40 * 28  # float32
    beyond = upload["to device"]["bytes"] - 2 * 4 * echo  # two series of four echoes
    assert 0 <= beyond - echo < 4096  # the first echo shows the object's size
    iterations = PRESETS["fast"]["single_step"]["iterations"]
    assert single["kernels"]["tv_gradient_step_faces"]["times"] == iterations
    assert single["fft"]["times"] >= 6 * iterations
    assert single["peak_bytes"] > 10 * 4 * 40 * 40 * 28
    assert single["called"] < single["kernel"]["times"]  # graphs are replayed
    assert single["graph"]["times"] > iterations  # at least one an iteration
    gradient = single["kernels"]["tv_gradient_step_faces"]
    assert gradient["items"] % gradient["times"] == 0
    assert 8 * gradient["items"] < gradient["bytes"] < 60 * gradient["items"]
    for row in rows:
        assert 0 <= row["host_seconds"] <= row["seconds"]


def test_a_preset_that_fails_says_why(tmp_path):
    with pytest.raises(command.WorkerError, match="nothing"):
        command._run(tmp_path, "nothing", command.STANDIN)


def row(step, host, **counts):
    kinds = ("kernel", "fft", "to device", "to host", "sync", "graph")
    return {
        "step": step, "seconds": 9.0, "called": 1, "host_seconds": host, "host_cpu_seconds": host,
        "operations": {"add": (5, 80), "empty": (3, 0)},
        **{kind: dict(zip(("times", "bytes"), counts.get(kind, (0, 0)), strict=True)) for kind in kinds},
    }  # fmt: skip


def test_table_sums_the_steps_and_compares_with_an_earlier_one():
    rows = [row("a", 0.5, kernel=(2, 0), fft=(6, 0)), row("b", 0.25, kernel=(3, 0), sync=(4, 0))]
    rows[1]["to host"] = {"times": 1, "bytes": 2_500_000}
    text = command.table(rows)
    assert "| a | 0.500 | 2 | 6 | 5 | 0 | 0.0 MB in 0 | 0.0 MB in 0 | 0 |" in text
    assert "| whole | 0.750 | 5 | 6 | 10 | 0 | 0.0 MB in 0 | 2.5 MB in 1 | 4 |" in text
    said = command.comparison(rows, [row("a", 0.03, sync=(1, 0))])
    assert said.startswith("Host seconds 0.75 before, 0.03 after (4.0%); waits 4 before, 1 after")

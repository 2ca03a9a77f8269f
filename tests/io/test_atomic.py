import os
import stat
import threading
from functools import partial

import numpy as np
import pytest

from qsmengine.errors import describe
from qsmengine.grid import Grid
from qsmengine.io import write_atomic, write_image, write_json, write_text, write_together

GRID = Grid.from_voxel_size((6, 5, 4), (1.0, 1.0, 1.0))


def fail(*_args, **_kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["os.replace", "os.fsync"])
@pytest.mark.parametrize("existed", [True, False])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, where, existed):
    target = tmp_path / "map.nii.gz"
    if existed:
        write_image(target, np.zeros(GRID.shape), GRID)
    before = target.read_bytes() if existed else None
    monkeypatch.setattr(f"qsmengine.io.atomic.{where}", fail)
    with pytest.raises(OSError, match="No space"):
        write_image(target, np.ones(GRID.shape), GRID)
    assert [path.name for path in tmp_path.iterdir()] == (["map.nii.gz"] if existed else [])
    assert not existed or target.read_bytes() == before


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomic(tmp_path / "map.nii", [b"1"])
    assert describe(caught.value)[0] == f"{tmp_path / 'map.nii'}: No space left on device"


def test_an_interrupt_while_bytes_are_produced_leaves_nothing(tmp_path):
    def chunks():
        yield b"first"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "x.bin", chunks())
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_come_back_different_are_noticed(tmp_path, monkeypatch):
    real_fsync = os.fsync

    def corrupt(descriptor):
        os.pwrite(descriptor, b"X", 0)
        real_fsync(descriptor)

    monkeypatch.setattr("qsmengine.io.atomic.os.fsync", corrupt)
    with pytest.raises(OSError, match="read back differ"):
        write_text(tmp_path / "x.txt", "hello")
    assert list(tmp_path.iterdir()) == []


def test_the_target_is_untouched_until_the_very_end(tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("old")
    seen = []

    def chunks():
        yield b"new "
        seen.append(target.read_text())
        yield b"text"

    write_atomic(target, chunks(), check=lambda path: seen.append((path.parent, path.read_text())))
    assert seen == ["old", (tmp_path, "new text")]
    assert target.read_text() == "new text"


def test_folders_are_made_and_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_json(tmp_path / "a" / "b" / "c.json", {"x": [1.5], "name": "µ"})
    finally:
        os.umask(old)
    path = tmp_path / "a" / "b" / "c.json"
    assert path.read_text(encoding="utf-8") == '{\n  "x": [\n    1.5\n  ],\n  "name": "µ"\n}\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_json_without_a_meaning_elsewhere_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_files_written_together_are_all_there_and_an_error_is_raised(tmp_path):
    jobs = [partial(write_text, tmp_path / f"{i}.txt", str(i)) for i in range(9)]
    write_together(jobs)
    assert sorted(int(path.read_text()) for path in tmp_path.iterdir()) == list(range(9))
    with pytest.raises(OSError, match="No space"):
        write_together([fail, *(partial(write_text, tmp_path / f"again{i}", "") for i in range(3))])
    assert len(list(tmp_path.glob("again*"))) == 3


def test_other_work_is_done_while_files_are_written_and_its_error_is_raised_after_them(tmp_path):
    go_on = threading.Event()

    def job():
        assert go_on.wait(60)
        write_text(tmp_path / "a.txt", "a")

    def meanwhile():
        assert not (tmp_path / "a.txt").exists()
        go_on.set()
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        write_together([job], meanwhile)
    assert (tmp_path / "a.txt").is_file()


def test_an_interrupt_while_a_thread_starts_is_raised_after_its_job_has_ended(tmp_path, monkeypatch):
    go_on = threading.Event()

    def job():
        assert go_on.wait(60)
        write_text(tmp_path / "late" / "map.json", "{}")

    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        monkeypatch.undo()
        threading.Timer(0.2, go_on.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_together([job])
    assert (tmp_path / "late" / "map.json").is_file()

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qsmengine.io.owned import make_owned
from qsmengine.io.processes import this_process
from qsmengine.pipeline.outputs.publishing import CURRENT, NEW, OLD, publish, settle
from qsmengine.pipeline.outputs.staging import staged


def everything(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def prepared(target, new, *, old=(), owner=None):
    """A working folder with new files, and old ones in the target."""
    target.mkdir(exist_ok=True)
    for name in old:
        (target / name).write_text(f"old {name}")
    place = make_owned(target, "outputs", owner=owner)
    (place / NEW).mkdir()
    for name in new:
        (place / NEW / name).write_text(f"new {name}")
    return place


def dead_process():
    """A process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return replace(this_process(), pid=child.pid)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the process that is killed")
@pytest.mark.parametrize("links", ["hard", "copies"])
def test_a_kill_before_any_operation_leaves_all_old_files_or_all_new_ones(tmp_path, links):
    script = Path(__file__).with_name("publication.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "out", links],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] > 30
    assert found["old"] > 10
    assert found["new"] > 10
    assert found["mixed"] == []
    assert found["left"] == []


def test_names_are_links_only_until_the_publication_is_settled(tmp_path):
    place = prepared(tmp_path / "out", ["a", "b"], old=["a"])
    publish(place, tmp_path / "out")
    assert (tmp_path / "out" / "a").is_symlink()
    assert (tmp_path / "out" / "a").read_text() == "new a"
    settle(place, tmp_path / "out")
    assert everything(tmp_path) == ["out", "out/a", "out/b"]
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())


def test_an_error_in_the_publication_restores_the_old_files(tmp_path):
    out = tmp_path / "out"
    (out / "b").mkdir(parents=True)  # a folder has the name of an output
    (out / "a").write_text("old a")

    def write():
        with staged(out) as folder:
            for name in "abc":
                (folder / name).write_text(f"new {name}")

    with pytest.raises(OSError, match="b"):
        write()
    assert everything(out) == ["a", "b"]
    assert (out / "a").read_text() == "old a"
    assert not (out / "a").is_symlink()


def test_a_link_that_is_replaced_comes_back_after_an_error_and_its_file_is_untouched(tmp_path):
    (tmp_path / "store").write_text("stored")
    place = prepared(tmp_path / "out", ["a", "b"])
    (tmp_path / "out" / "a").symlink_to("../store")
    (place / OLD).mkdir()
    (place / CURRENT).symlink_to(OLD)
    (place / OLD / "a").symlink_to(tmp_path / "store")
    (tmp_path / "out" / "a").unlink()
    (tmp_path / "out" / "a").symlink_to(f"{place.name}/{CURRENT}/a")
    settle(place, tmp_path / "out")
    assert (tmp_path / "out" / "a").readlink() == tmp_path / "store"
    assert (tmp_path / "store").read_text() == "stored"


def test_the_next_run_completes_what_a_killed_one_had_published(tmp_path):
    out = tmp_path / "out"
    place = prepared(out, ["a", "b"], old=["a"], owner=dead_process())
    publish(place, out)
    with staged(out) as folder:
        assert (out / "b").read_text() == "new b"
        (folder / "c").write_text("c")
    assert everything(out) == ["a", "b", "c"]
    assert (out / "a").read_text() == "new a"
    assert not (out / "a").is_symlink()


@pytest.mark.parametrize("where", ["in the target", "beside the target", "in the scratch folder"])
def test_folders_of_killed_processes_are_removed_by_the_next_run(tmp_path, where):
    out, scratch = tmp_path / "out", tmp_path / "out" / "scratch"
    scratch.mkdir(parents=True)
    folder = {"in the target": out, "beside the target": tmp_path, "in the scratch folder": scratch}[where]
    dead = make_owned(folder, "outputs", owner=dead_process())
    (dead / NEW).mkdir()
    (dead / NEW / "half").write_text("half")
    with staged(out, scratch) as place:
        (place / "a").write_text("a")
    assert everything(tmp_path) == ["out", "out/a", "out/scratch"]


def test_folders_of_running_processes_and_of_others_are_kept(tmp_path):
    running = make_owned(tmp_path, "outputs")
    elsewhere = make_owned(tmp_path, "outputs", owner=replace(dead_process(), host="another machine"))
    users = tmp_path / ".mine.tmp"
    users.mkdir()
    with staged(tmp_path) as folder:
        (folder / "a").write_text("a")
    assert running.is_dir()
    assert elsewhere.is_dir()
    assert users.is_dir()

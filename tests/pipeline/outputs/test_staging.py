import json
import os
import stat
from pathlib import Path

import pytest

from qsmengine.errors import UsageError
from qsmengine.io.atomic import write_text
from qsmengine.pipeline.outputs.staging import check_not_among_inputs, check_output, staged


def everything(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_files_appear_together_in_a_new_folder(tmp_path):
    with staged(tmp_path / "a" / "out") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "x").write_text("1")
        assert not (tmp_path / "a" / "out").exists()
    assert everything(tmp_path) == ["a", "a/out", "a/out/sub", "a/out/sub/x"]


def test_files_join_those_of_an_existing_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    (tmp_path / "out" / "both").write_text("old")
    with staged(tmp_path / "out") as folder:
        (folder / "both").write_text("new")
        (folder / "new").write_text("new")
        assert (tmp_path / "out" / "both").read_text() == "old"
    assert everything(tmp_path) == ["out", "out/both", "out/new", "out/old"]
    assert (tmp_path / "out" / "both").read_text() == "new"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the names of open files")
@pytest.mark.parametrize("exists", [True, False])
def test_names_are_on_the_disk_before_the_files_move_and_after(tmp_path, monkeypatch, exists):
    target, synced, real = tmp_path / "out", [], os.fsync
    if exists:
        target.mkdir()

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            folder = Path(f"/proc/self/fd/{descriptor}").readlink()
            synced.append((folder, sorted(p.name for p in folder.iterdir())))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with staged(target) as folder:
        for name in "abc":
            write_text(folder / "sub" / name, name)
    working, final = synced
    assert working[0].parent.name == "new"
    assert final[0] == target / "sub"
    assert working[1] == final[1] == ["a", "b", "c"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("exists", [True, False])
def test_failure_leaves_nothing(tmp_path, error, exists):
    target = tmp_path / "deep" / "er" / "out"
    if exists:
        target.mkdir(parents=True)
        (target / "old").write_text("old")
    before = everything(tmp_path)
    with pytest.raises(error), staged(target) as folder:  # noqa: PT012
        (folder / "x").write_text("1")
        raise error
    assert everything(tmp_path) == before


def test_existing_output_is_refused_unless_forced(tmp_path):
    (tmp_path / "a").write_text("")
    (tmp_path / "b").write_text("")
    names = [Path("a"), Path("b")]
    with pytest.raises(UsageError, match="a and 1 more exist already; --force replaces them"):
        check_output(tmp_path, names, [], force=False)
    check_output(tmp_path, names, [], force=True)


def test_shared_description_does_not_count_as_existing(tmp_path):
    (tmp_path / "dataset_description.json").write_text('{"DatasetType": "derivative"}')
    check_output(tmp_path, [Path("dataset_description.json"), Path("x")], [], force=False)


def test_input_is_never_replaced_even_by_force_or_through_a_link(tmp_path):
    source = tmp_path / "mag.nii.gz"
    source.write_text("")
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(UsageError, match="is one of the inputs"):
        check_output(tmp_path, [Path("link")], [source], force=True)


def test_output_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        check_output(tmp_path / "f", [Path("x")], [], force=True)


@pytest.mark.parametrize("aim", ["out", "missing"])
def test_output_folder_that_is_a_broken_link_is_refused(tmp_path, aim):
    (tmp_path / "out").symlink_to(aim)
    for check in (
        lambda: check_output(tmp_path / "out", [], [], force=False),
        lambda: check_not_among_inputs(tmp_path / "out", []),
    ):
        with pytest.raises(UsageError, match="out is a broken link"):
            check()


def test_folder_of_the_inputs_is_refused_and_one_below_is_not(tmp_path):
    check_not_among_inputs(tmp_path / "out", [tmp_path / "mag.nii.gz"])
    with pytest.raises(UsageError, match="contains the inputs"):
        check_not_among_inputs(tmp_path / "x" / "..", [tmp_path / "mag.nii.gz"])


@pytest.mark.parametrize("kind", ["raw", None])
def test_raw_dataset_is_kept_clean(tmp_path, kind):
    content = {} if kind is None else {"DatasetType": kind}
    (tmp_path / "dataset_description.json").write_text(json.dumps(content))
    for inside in (".", "sub-01/anat", "results"):
        with pytest.raises(UsageError, match="inside the raw dataset"):
            check_output(tmp_path / inside, [Path("x")], [], force=True)
    check_output(tmp_path / "derivatives" / "qsmengine", [Path("x")], [], force=False)


def test_a_link_that_leads_out_of_the_output_folder_is_not_written_through(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    out.mkdir()
    (raw / "a.nii").write_text("raw")
    (out / "sub-01").symlink_to(raw, target_is_directory=True)
    with pytest.raises(UsageError, match="sub-01 leads out of the output folder"):
        check_output(out, [Path("sub-01/a.nii")], [], force=True)

    def write():
        with staged(out) as folder:
            (folder / "sub-01").mkdir()
            (folder / "sub-01" / "a.nii").write_text("new")
            (folder / "b.nii").write_text("new")

    with pytest.raises(UsageError, match="leads out"):
        write()
    assert (raw / "a.nii").read_text() == "raw"
    assert sorted(path.name for path in out.iterdir()) == ["sub-01"]


def test_a_link_inside_the_output_folder_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    with staged(tmp_path) as folder:
        (folder / "link").mkdir()
        (folder / "link" / "a.nii").write_text("new")
    assert (tmp_path / "real" / "a.nii").read_text() == "new"

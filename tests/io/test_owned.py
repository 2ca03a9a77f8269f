import stat
from dataclasses import replace

from qsmengine.io.owned import abandoned, make_owned, private_folder
from qsmengine.io.processes import this_process


def test_a_private_folder_is_for_its_user_only_and_is_removed(tmp_path):
    with private_folder("test", tmp_path) as one, private_folder("test", tmp_path) as other:
        assert stat.S_IMODE(one.stat().st_mode) == 0o700
        assert one.name != other.name
        (one / "sub").mkdir()
        (one / "sub" / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_the_next_private_folder_removes_that_of_an_earlier_process_with_the_same_number(tmp_path):
    earlier = replace(this_process(), started="1")
    left = make_owned(tmp_path, "test", owner=earlier)
    (left / "patient.dcm").write_text("x")
    other = make_owned(tmp_path, "else", owner=earlier)
    assert abandoned(tmp_path) == sorted([left, other])
    with private_folder("test", tmp_path):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == [other]


def test_a_link_named_like_an_abandoned_folder_is_not_followed(tmp_path):
    folder = make_owned(tmp_path, "test", owner=replace(this_process(), started="1"))
    folder.rmdir()
    (tmp_path / "data").mkdir()
    folder.symlink_to(tmp_path / "data")
    assert abandoned(tmp_path) == []

import os
from pathlib import Path

import pytest

from qsmengine.errors import InputError
from qsmengine.io.inheritance import Folders, find_inherited, image_stem
from qsmengine.io.sidecars import read_sidecar


@pytest.fixture
def root(tmp_path):
    (tmp_path / "dataset_description.json").write_text("{}")
    (tmp_path / "sub-1" / "dwi").mkdir(parents=True)
    return tmp_path


def test_the_deepest_table_of_most_entities_applies(root):
    image = root / "sub-1" / "dwi" / "sub-1_dir-AP_run-1_dwi.nii.gz"
    order = [
        "dwi.bval", "dir-AP_dwi.bval", "sub-1/sub-1_dwi.bval", "sub-1/dwi/sub-1_dir-AP_dwi.bval",
        "sub-1/dwi/sub-1_dir-AP_run-1_dwi.bval",
    ]  # fmt: skip
    for other in ("dir-PA_dwi.bval", "sub-1/sub-2_dwi.bval", "sub-1/dwi/sub-1_sbref.bval", "sub-1/dwi/x.bval"):
        (root / other).write_text("0")
    for name in order:
        (root / name).write_text("0")
        assert find_inherited(image, ".bval") == root / name


def test_a_table_that_is_nowhere_names_the_places_searched(root):
    with pytest.raises(InputError) as caught:
        find_inherited(root / "sub-1" / "dwi" / "sub-1_dwi.nii.gz", ".bvec")
    for words in ("sub-1_dwi.bvec", str(root / "*dwi.bvec"), str(root / "sub-1" / "*dwi.bvec")):
        assert words in str(caught.value)


def test_outside_a_dataset_and_for_other_names_the_file_beside_counts(tmp_path):
    (tmp_path / "dwi.bval").write_text("0")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "my scan.bval").write_text("0")
    assert find_inherited(tmp_path / "a" / "my scan.nii.gz", ".bval").name == "my scan.bval"
    with pytest.raises(InputError, match="not found next to"):
        find_inherited(tmp_path / "a" / "sub-1_dwi.nii.gz", ".bval")


def test_shared_listings_give_what_single_calls_give(root):
    images = []
    for subject in ("1", "2", "3"):
        folder = root / f"sub-{subject}" / "anat"
        folder.mkdir(parents=True)
        (folder.parent / f"sub-{subject}_MEGRE.json").write_text(f'{{"Subject": {subject}, "A": 1}}')
        for echo in ("1", "2"):
            (folder / f"sub-{subject}_echo-{echo}_MEGRE.json").write_text(f'{{"EchoTime": 0.0{echo}}}')
            images.append(folder / f"sub-{subject}_echo-{echo}_MEGRE.nii.gz")
    (root / "MEGRE.json").write_text('{"A": 0, "B": 2}')
    for folders in (Folders(), Folders(size=1), Folders(size=3)):
        for image in images:
            alone, shared = read_sidecar(image), read_sidecar(image, folders)
            assert alone == shared
            assert alone.values["B"] == 2
            assert len(alone.files) == 3


def test_every_folder_is_listed_once(root, monkeypatch):

    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(Path(path)) or scandir(path))
    folders = Folders()
    for echo in range(1, 9):
        read_sidecar(root / "sub-1" / "dwi" / f"sub-1_echo-{echo}_dwi.nii.gz", folders)
    assert sorted(listed) == [root, root / "sub-1", root / "sub-1" / "dwi"]


@pytest.mark.parametrize(
    ("name", "stem"), [("a.nii.gz", "a"), ("a.b.nii", "a.b"), ("a.img.gz", "a"), ("a.mgz", "a"), ("a", "a")]
)
def test_stems(name, stem):
    assert image_stem(name) == stem

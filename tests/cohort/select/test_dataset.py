import os

import pytest

from qsmengine.cohort.select.dataset import Ignored, list_subjects, scan_subject
from qsmengine.errors import UsageError


def scan(dataset, subject="01"):
    return scan_subject(dataset.root, subject, Ignored.of(dataset.root))


def test_subjects_and_sessions_are_found_in_order(dataset):
    for subject, session in (("b", None), ("a", "2"), ("a", "1"), ("10", None)):
        dataset.gre(subject, session)
    assert list_subjects(dataset.root) == (["10", "a", "b"], [])
    assert [(s.subject, s.session, len(s.files)) for s in scan(dataset, "a")] == [("a", "1", 6), ("a", "2", 6)]
    assert [(s.session, s.folder) for s in scan(dataset, "b")] == [(None, "sub-b")]


def test_a_folder_without_subjects_is_refused(dataset, tmp_path):
    with pytest.raises(UsageError, match="no folder sub-"):
        list_subjects(dataset.root)
    with pytest.raises(UsageError, match="no such folder"):
        list_subjects(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["study.v2", "a [b] c", "sub-study", "ümlaut"])
def test_the_name_of_the_dataset_does_not_matter(dataset, name):
    dataset.gre("01")
    moved = dataset.root.rename(dataset.root.with_name(name))
    assert len(scan_subject(moved, "01", Ignored())[0].files) == 6


def test_images_of_other_sessions_and_names_that_are_not_bids_are_noted(dataset):
    dataset.gre("01", times=(0.01,))
    dataset.image("sub-01/anat/sub-02_part-mag_MEGRE.nii.gz")
    dataset.image("sub-01/anat/scan 1.nii.gz")
    dataset.image("sub-01/anat/._sub-01_MEGRE.nii.gz")
    (session,) = scan(dataset)
    assert [file.path for file in session.files] == [
        "sub-01/anat/sub-01_part-mag_MEGRE.nii.gz",
        "sub-01/anat/sub-01_part-phase_MEGRE.nii.gz",
    ]
    assert len(session.notes) == 2
    assert "another subject" in " ".join(session.notes)


def test_links_out_of_the_dataset_are_not_followed_and_those_inside_are(dataset, tmp_path):
    dataset.gre("01")
    outside = tmp_path / "elsewhere"
    (outside / "anat").mkdir(parents=True)
    dataset.image("../elsewhere/anat/sub-02_MEGRE.nii.gz")
    (dataset.root / "sub-02").symlink_to(outside, target_is_directory=True)
    (dataset.root / "sub-03").symlink_to(dataset.root / "sub-01", target_is_directory=True)
    (dataset.root / "sub-01" / "dwi").symlink_to(outside / "anat", target_is_directory=True)
    (dataset.root / "sub-01" / "ses-x").symlink_to(outside, target_is_directory=True)
    labels, notes = list_subjects(dataset.root)
    assert labels == ["01", "03"]
    assert notes == ["sub-02: a link out of the dataset, not followed"]
    (whole,) = scan(dataset)
    assert len(whole.files) == 6
    assert whole.notes == (
        "sub-01/dwi: a link out of the dataset, not followed",
        "sub-01/ses-x: a link out of the dataset, not followed",
    )


def test_a_link_to_itself_stops_nothing(dataset):
    dataset.gre("01")
    for link in (dataset.root / "sub-99", dataset.root / "sub-01" / "ses-9", dataset.root / "sub-01" / "dwi"):
        link.symlink_to(link)
    labels, notes = list_subjects(dataset.root)
    assert "01" in labels
    assert "99" not in labels
    assert notes == ["sub-99: not a folder: a broken link, left out"]
    assert scan_subject(dataset.root, "01", Ignored())[0].files


def test_a_link_to_its_own_parent_ends(dataset):
    dataset.gre("01", "1")
    (dataset.root / "sub-01" / "ses-2").symlink_to(dataset.root / "sub-01", target_is_directory=True)
    assert [(s.session, len(s.files)) for s in scan(dataset)] == [("1", 6), ("2", 0)]


def test_unfetched_links_to_files_are_listed(dataset):
    dataset.gre("01")
    target = dataset.root / "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz"
    target.unlink()
    target.symlink_to("../../.git/annex/objects/aa/bb/MD5E-s1--0.nii.gz")
    assert target.relative_to(dataset.root).as_posix() in {file.path for file in scan(dataset)[0].files}


@pytest.mark.parametrize(
    ("pattern", "path", "ignored"),
    [
        ("*_swi.nii.gz", "sub-01/anat/sub-01_swi.nii.gz", True),
        ("*_swi.nii.gz", "sub-01/anat/sub-01_GRE.nii.gz", False),
        ("sub-02/", "sub-02/anat/sub-02_GRE.nii.gz", True),
        ("sub-02/", "sub-01/anat/sub-01_acq-sub-02_GRE.nii.gz", False),
        ("sub-01/dwi", "sub-01/dwi/sub-01_dwi.nii.gz", True),
        ("dwi", "sub-01/dwi/sub-01_dwi.nii.gz", True),
        ("/dwi", "sub-01/dwi/sub-01_dwi.nii.gz", False),
        ("**/dwi/*.nii.gz", "sub-01/dwi/sub-01_dwi.nii.gz", True),
        ("sub-0[23]/**", "sub-03/dwi/sub-03_dwi.nii.gz", True),
        ("sub-0[23]/**", "sub-01/dwi/sub-01_dwi.nii.gz", False),
    ],
)
def test_bidsignore_is_read_as_globs(dataset, pattern, path, ignored):
    dataset.put(".bidsignore", f"# comment\n\n{pattern}\n")
    assert Ignored.of(dataset.root).matches(path) is ignored


def test_ignored_images_are_counted(dataset):
    dataset.gre("01")
    dataset.put(".bidsignore", "*_part-phase_*\n!sub-01\n")
    (session,) = scan(dataset)
    assert len(session.files) == 3
    assert session.notes == ("3 images left out by .bidsignore",)
    assert Ignored.of(dataset.root).unread == ("!sub-01",)


def test_other_folders_of_a_session_are_looked_into_unless_another_kind_of_data_is_theirs(dataset):
    dataset.gre("01", datatype="qsm", times=(0.01,), suffix="GRE")
    dataset.image("sub-01/func/sub-01_T2starw.nii.gz")
    dataset.image("sub-01/fmap/sub-01_part-mag_MEGRE.nii.gz")
    assert [file.path for file in scan(dataset)[0].files] == [
        "sub-01/qsm/sub-01_part-mag_GRE.nii.gz",
        "sub-01/qsm/sub-01_part-phase_GRE.nii.gz",
    ]


def test_labels_of_sessions_that_are_not_letters_and_digits_are_noted(dataset):
    dataset.gre("01", "a")
    (dataset.root / "sub-01" / "ses-pre_op").mkdir()
    (session,) = scan(dataset)
    assert session.notes == ("sub-01/ses-pre_op: labels are letters and digits only; left out",)


def test_names_that_are_no_text_are_noted_readably(dataset):
    dataset.gre("01", times=(0.01,))
    folder = dataset.root / "sub-01" / "anat"
    for name in (b"sub-01_acq-\xff_MEGRE.nii.gz", b"sub-01_acq-a\nb_MEGRE.nii.gz"):
        with open(os.fsencode(folder) + b"/" + name, "wb"):  # noqa: PTH123
            pass
    (session,) = scan(dataset)
    assert len(session.files) == len(session.notes) == 2
    assert all(note.isprintable() for note in session.notes)
    " ".join(session.notes).encode("utf-8")


def test_a_folder_that_cannot_be_read_is_noted(dataset, monkeypatch):

    dataset.gre("01")
    dataset.dwi("01")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("dwi"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (session,) = scan(dataset)
    assert len(session.files) == 6
    assert session.notes == ()
    assert session.unreadable == {"sub-01/dwi": "sub-01/dwi: cannot be read: Permission denied"}


def test_files_beside_the_subjects_do_no_harm(dataset):
    dataset.gre("01")
    dataset.put("sub-notafolder", "text")
    dataset.put("sub-01_ses.tsv", "text")
    (dataset.root / "sub-a b").mkdir()
    labels, notes = list_subjects(dataset.root)
    assert labels == ["01"]
    assert len(notes) == 3


def test_suffixes_that_bids_does_not_define_are_read_although_the_validator_ignores_them(dataset):
    dataset.image("sub-01/perf/sub-01_dsc.nii.gz", volumes=3)
    dataset.image("sub-01/perf/sub-01_asl.nii.gz", volumes=3)
    dataset.put(".bidsignore", "*_dsc.*\n*_asl.*\n")
    paths = {file.path for file in scan(dataset)[0].files}
    assert "sub-01/perf/sub-01_dsc.nii.gz" in paths
    assert "sub-01/perf/sub-01_asl.nii.gz" not in paths
    dataset.put(".bidsignore", "*_dsc.*\nsub-01/perf/\n")
    assert "sub-01/perf/sub-01_dsc.nii.gz" not in {file.path for file in scan(dataset)[0].files}


def test_of_functional_images_only_those_with_a_contrast_agent_are_listed(dataset):
    dataset.image("sub-01/func/sub-01_ce-gadolinium_bold.nii.gz", volumes=3)
    dataset.image("sub-01/func/sub-01_task-rest_bold.nii.gz", volumes=3)
    paths = {file.path for file in scan(dataset)[0].files if file.datatype == "func"}
    assert paths == {"sub-01/func/sub-01_ce-gadolinium_bold.nii.gz"}

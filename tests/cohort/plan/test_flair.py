"""FLAIR images of a session's anatomy, as planned."""

import pytest

from qsmengine.grid import Grid
from qsmengine.modalities.t1w import flair

GRID = Grid.from_voxel_size((18, 18, 18), (2.0, 2.0, 2.0))
OTHER = Grid.from_voxel_size((20, 18, 18), (2.0, 2.0, 2.0))
MASK = "sub-01/anat/sub-01_desc-lesionscreening_mask.nii.gz"
PATH = "sub-01/anat/sub-01_FLAIR.nii.gz"


@pytest.fixture
def t1w(dataset):
    dataset.image("sub-01/anat/sub-01_T1w.nii.gz", grid=GRID)
    return dataset


def test_the_image_of_a_session_is_screened(t1w, steps):
    assert MASK not in steps()["anatomy"].outputs
    t1w.image(PATH, grid=GRID)
    step = steps()["anatomy"]
    assert step.inputs == {"t1w": ("sub-01/anat/sub-01_T1w.nii.gz",), "flair": (PATH,)}
    assert MASK in step.outputs
    assert not step.problems


def test_a_mask_of_lesions_is_used_beside_it(t1w, steps):
    given = "derivatives/lst/sub-01/anat/sub-01_label-lesion_mask.nii.gz"
    t1w.image(PATH, grid=GRID)
    t1w.image(given, grid=GRID, labels=2)
    assert steps()["anatomy"].inputs.items() >= {"lesions": (given,), "flair": (PATH,)}.items()


def test_further_images_and_those_without_a_t1_weighted_image_are_noted(t1w, plan):
    first, second = (f"sub-01/anat/sub-01_run-{run}_FLAIR.nii.gz" for run in (1, 2))
    for path in (first, second, "sub-02/anat/sub-02_FLAIR.nii.gz"):
        t1w.image(path, grid=GRID)
    one, other = plan().sessions
    assert one.steps[0].inputs["flair"] == (first,)
    assert f"{second}: not used, FLAIR comes from {first}" in one.notes
    assert "sub-02/anat/sub-02_FLAIR.nii.gz: not used: no T1-weighted image" in other.notes


def test_a_session_without_one_borrows_the_first_of_the_subject(dataset, plan):
    for session in ("1", "2"):
        dataset.image(f"sub-01/ses-{session}/anat/sub-01_ses-{session}_T1w.nii.gz", grid=GRID)
    path = "sub-01/ses-2/anat/sub-01_ses-2_FLAIR.nii.gz"
    dataset.image(path, grid=GRID)
    one, other = plan().sessions
    assert one.steps[0].inputs["flair"] == other.steps[0].inputs["flair"] == (path,)
    assert one.steps[0].notes == (f"{path}: another session's, as this one has no FLAIR",)
    assert other.steps[0].notes == ()
    assert plan(sessions=["1"]).sessions == (one,)


@pytest.mark.parametrize("volumes", [0, 3])
def test_an_image_that_cannot_be_used_leaves_the_step_as_it_was(t1w, steps, monkeypatch, volumes):
    plain = steps()["anatomy"]
    t1w.image(PATH, grid=GRID if volumes else OTHER, volumes=volumes)
    monkeypatch.setattr(flair, "available", lambda: False)
    step = steps()["anatomy"]
    (note,) = step.notes
    assert note.startswith(PATH)
    assert note.endswith("; the FLAIR image is not used")
    assert ("3 volumes" if volumes else "antspyx") in note
    assert step.model_copy(update={"notes": ()}) == plain


def test_a_filter_chooses_among_several(t1w, steps, tmp_path):
    for run in (1, 2):
        t1w.image(f"sub-01/anat/sub-01_run-{run}_FLAIR.nii.gz", grid=GRID)
    file = tmp_path / "filter.json"
    file.write_text('{"flair": {"run": "2"}}')
    assert steps(filter_file=file)["anatomy"].inputs["flair"] == ("sub-01/anat/sub-01_run-2_FLAIR.nii.gz",)

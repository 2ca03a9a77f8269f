"""Regions of a session's own T1-weighted image, as planned."""

import pytest

from qsmengine.cohort.plan import build, sessions
from qsmengine.errors import UsageError
from qsmengine.grid import Grid

GRID = Grid.from_voxel_size((16, 17, 18), (3.0, 3.0, 3.0))


@pytest.fixture
def installed(monkeypatch):
    for module in (build, sessions):
        monkeypatch.setattr(module, "available", lambda: True)


@pytest.fixture
def scanned(dataset):
    """Gradient echoes, diffusion and a T1-weighted image of one session."""
    dataset.gre("01", grid=GRID)
    dataset.image("sub-01/anat/sub-01_T1w.nii.gz", grid=GRID)
    dataset.tables(dataset.image("sub-01/dwi/sub-01_dwi.nii.gz", volumes=8, grid=GRID), 8)
    return dataset


def steps_of(plan, **options):
    (session,) = plan(**options).sessions
    return {step.name: step for step in session.steps}, session


def test_every_series_is_registered_and_one_table_holds_the_maps(installed, scanned, plan):
    steps, _ = steps_of(plan)
    assert list(steps) == [
        "qsm",
        "dti",
        "anatomy",
        "registration_qsm",
        "registration_dti",
        "regions_seg-anatomy",
    ]
    assert steps["registration_dti"].after == ("dti", "anatomy")
    assert "sub-01/anat/sub-01_from-T1w_to-dwi_mode-image_xfm.txt" in steps["registration_dti"].outputs
    assert "sub-01/anat/sub-01_space-gre_desc-dgm_dseg.nii.gz" in steps["registration_qsm"].outputs
    table = steps["regions_seg-anatomy"]
    assert table.outputs[0] == "sub-01/anat/sub-01_seg-anatomy_desc-dgm_stats.tsv"
    assert table.after == ("anatomy",)
    assert table.uses == ("qsm", "registration_qsm", "dti", "registration_dti")
    assert table.options["volumes"]


def test_labels_on_the_grid_of_a_series_keep_precedence(installed, scanned, plan):
    scanned.image("derivatives/synthseg/sub-01/anat/sub-01_synthseg.nii.gz", labels=60, grid=GRID)
    steps, _ = steps_of(plan)
    assert "regions" in steps
    assert not any(name.startswith("registration") for name in steps)


def test_labels_on_the_grid_of_the_t1_weighted_image_alone_are_not_tabulated(installed, dataset, plan):
    coarse = Grid.from_voxel_size((16, 16, 16), (3.5, 3.5, 3.5))
    dataset.gre("01", grid=GRID)
    dataset.image("sub-01/anat/sub-01_T1w.nii.gz", grid=coarse)
    dataset.image("derivatives/synthseg/sub-01/anat/sub-01_synthseg.nii.gz", labels=60, grid=coarse)
    steps, session = steps_of(plan)
    assert [name for name, step in steps.items() if step.kind == "regions"] == ["regions_seg-anatomy"]
    assert any("no series has its grid" in note for note in session.notes)


def test_series_that_the_labels_miss_are_registered_and_their_table_has_no_volumes(installed, dataset, plan):
    coarse = Grid.from_voxel_size((16, 16, 16), (3.5, 3.5, 3.5))
    dataset.gre("01", grid=GRID)
    dataset.image("sub-01/anat/sub-01_T1w.nii.gz", grid=coarse)
    dataset.tables(dataset.image("sub-01/dwi/sub-01_dwi.nii.gz", volumes=8, grid=coarse), 8)
    dataset.image("derivatives/synthseg/sub-01/anat/sub-01_synthseg.nii.gz", labels=60, grid=GRID)
    steps, _ = steps_of(plan)
    assert steps["regions"].after == ("qsm",)
    assert "registration_qsm" not in steps
    table = steps["regions_seg-anatomy"]
    assert (table.uses, table.options["volumes"]) == (("dti", "registration_dti"), False)


def test_two_series_of_a_kind_have_a_table_each(installed, scanned, plan):
    scanned.gre("01", grid=GRID, entities="_acq-fine")
    steps, _ = steps_of(plan)
    tables = [step for step in steps.values() if step.kind == "regions"]
    ending = "seg-anatomy_desc-dgm_stats.tsv"
    assert {step.name: step.outputs[0] for step in tables} == {
        "regions_seg-anatomy": f"sub-01/anat/sub-01_{ending}",
        "regions_seg-anatomy_qsm": f"sub-01/anat/sub-01_space-gre_{ending}",
        "regions_seg-anatomy_qsm_acq-fine": f"sub-01/anat/sub-01_acq-fine_space-gre_{ending}",
    }
    assert [step.options["volumes"] for step in tables] == [True, False, False]


def test_few_slices_are_noted(installed, dataset, plan):
    dataset.gre("01")
    dataset.image("sub-01/anat/sub-01_T1w.nii.gz", grid=GRID)
    steps, session = steps_of(plan)
    assert set(steps) == {"qsm", "anatomy"}
    assert any("qsm has 5 voxels along an axis, fewer than 16" in note for note in session.notes)


def test_a_missing_package_is_said_once_and_the_rest_works(monkeypatch, scanned, plan):
    for module in (build, sessions):
        monkeypatch.setattr(module, "available", lambda: False)
    for subject in ("02", "03"):
        scanned.gre(subject, grid=GRID)
        scanned.image(f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", grid=GRID)
    made = plan()
    assert {step.kind for session in made.sessions for step in session.steps} == {"qsm", "dti", "anatomy"}
    (note,) = [note for note in made.notes if "antspyx" in note]
    assert "no region table" in note
    with pytest.raises(UsageError, match="antspyx"):
        plan(steps=["qsm", "anatomy", "registration"])


def test_the_choice_of_steps_is_respected(installed, scanned, plan):
    steps, _ = steps_of(plan, steps=["qsm", "anatomy", "regions"])
    assert {name for name, step in steps.items() if not step.problems} == {"qsm", "anatomy"}
    steps, _ = steps_of(plan, steps=["qsm", "anatomy", "registration"])
    assert list(steps) == ["qsm", "anatomy", "registration_qsm"]


def test_a_session_without_an_image_borrows_the_first_of_the_subject(installed, dataset, plan):
    for session in ("1", "2", "3"):
        dataset.gre("01", session, grid=GRID)
    for session in ("2", "3"):
        dataset.image(f"sub-01/ses-{session}/anat/sub-01_ses-{session}_T1w.nii.gz", grid=GRID)
    dataset.gre("02", grid=GRID)
    first, second, third, other = plan().sessions
    assert [step.name for step in second.steps][:2] == ["qsm", "anatomy"]
    assert [step.name for step in other.steps] == ["qsm"]
    anatomy, registration, table = first.steps[1:]
    assert anatomy.name == "anatomy_space-ses2"
    assert anatomy.inputs == {"t1w": ("sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",)}
    assert "sub-01/ses-1/anat/sub-01_ses-1_space-ses2_desc-dgm_dseg.nii.gz" in anatomy.outputs
    assert registration.after == ("qsm", "anatomy_space-ses2")
    assert registration.notes == (
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz: from another session of the subject, as this one has none",
    )
    assert table.outputs[0] == "sub-01/ses-1/anat/sub-01_ses-1_seg-anatomy_desc-dgm_stats.tsv"
    assert third.steps[1].inputs == {"t1w": ("sub-01/ses-3/anat/sub-01_ses-3_T1w.nii.gz",)}
    (alone,) = plan(sessions=["1"]).sessions
    assert alone == first
    (alone,) = plan(sessions=["1"], steps=["qsm"]).sessions
    assert [step.name for step in alone.steps] == ["qsm"]

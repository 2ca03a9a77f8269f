import numpy as np
import pytest

from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from tests.cohort.making import SHAPE

TABLE = "index\tname\n1\tLeft-Putamen\n2\tRight-Putamen\n"


def test_a_segmentation_on_the_grid_gives_one_table_of_both_kinds_of_maps(dataset, steps):
    dataset.gre("01", "1")
    dataset.dwi("01", "1")
    dataset.image("derivatives/seg/sub-01/ses-1/anat/sub-01_ses-1_dseg.nii.gz", labels=3)
    dataset.put("derivatives/seg/sub-01/ses-1/anat/sub-01_ses-1_dseg.tsv", TABLE)
    step = steps()["regions"]
    assert step.after == ("qsm", "dti")
    assert step.inputs == {
        "labels": ("derivatives/seg/sub-01/ses-1/anat/sub-01_ses-1_dseg.nii.gz",),
        "lut": ("derivatives/seg/sub-01/ses-1/anat/sub-01_ses-1_dseg.tsv",),
    }
    assert step.options["lut"] == step.inputs["lut"][0]
    assert step.outputs == (
        "sub-01/ses-1/anat/sub-01_ses-1_desc-dgm_stats.tsv",
        "sub-01/ses-1/anat/sub-01_ses-1_desc-dgm_stats.json",
    )
    assert step.memory > 0


def test_several_series_of_a_kind_have_tables_of_their_own(dataset, steps):
    for run in (1, 2):
        dataset.gre("01", entities=f"_run-{run}")
    dataset.dwi("01", entities="_dir-AP")
    dataset.image("derivatives/synthseg/sub-01/sub-01_synthseg.nii.gz", labels=3)
    regions = {name: step for name, step in steps().items() if step.kind == "regions"}
    assert {name: step.after for name, step in regions.items()} == {
        "regions_run-1": ("qsm_run-1",),
        "regions_run-2": ("qsm_run-2",),
        "regions_dir-AP": ("dti_dir-AP",),
    }
    assert all(step.options["lut"] == "synthseg" and "lut" not in step.inputs for step in regions.values())
    outputs = [path for step in regions.values() for path in step.outputs]
    assert len(set(outputs)) == 6
    assert "sub-01/dwi/sub-01_dir-AP_desc-dgm_stats.tsv" in outputs


@pytest.mark.parametrize(
    ("path", "lut"),
    [
        ("freesurfer/sub-01_ses-1/mri/aseg.nii.gz", "freesurfer-aseg"),
        ("freesurfer/sub-01/mri/aparc+aseg.nii.gz", "freesurfer-aseg"),
        ("fmriprep/sub-01/anat/sub-01_desc-aseg_dseg.nii.gz", "freesurfer-aseg"),
        ("fmriprep/sub-01/anat/sub-01_desc-aparcaseg_dseg.nii.gz", "freesurfer-aseg"),
        ("first/sub-01/ses-1/anat/sub-01_ses-1_all_fast_firstseg.nii.gz", "fsl-first"),
        ("tools/sub-01/ses-1/sub-01_ses-1_desc-SynthSeg_dseg.nii", "synthseg"),
    ],
)
def test_known_segmentations_bring_their_table(dataset, steps, path, lut):
    dataset.gre("01", "1")
    dataset.image(f"derivatives/{path}", labels=3)
    step = steps()["regions"]
    assert step.options == {"lut": lut}
    assert step.inputs["labels"] == (f"derivatives/{path}",)


def test_a_table_at_the_root_of_its_dataset_is_inherited(dataset, steps):
    dataset.gre("01")
    dataset.put("derivatives/seg/dataset_description.json", {"Name": "x"})
    dataset.put("derivatives/seg/dseg.tsv", TABLE)
    dataset.image("derivatives/seg/sub-01/anat/sub-01_dseg.nii.gz", labels=3)
    assert steps()["regions"].inputs["lut"] == ("derivatives/seg/dseg.tsv",)


def test_a_segmentation_without_a_table_is_noted_and_takes_the_one_given(dataset, plan):
    dataset.gre("01")
    dataset.image("derivatives/seg/sub-01/anat/sub-01_dseg.nii.gz", labels=3)
    (session,) = plan().sessions
    assert [step.kind for step in session.steps] == ["qsm"]
    assert "sub-01_dseg.nii.gz: no table of its labels" in session.notes[0]
    (session,) = plan(lut="fsl-first").sessions
    assert session.steps[1].options["lut"] == "fsl-first"
    with pytest.raises(UsageError, match="did you mean 'fsl-first'"):
        plan(lut="fsl-frist")


def test_another_grid_is_noted_and_not_resampled(dataset, plan):
    dataset.gre("01")
    affine = dataset.grid.affine.copy()
    affine[0, 3] += 0.01
    dataset.image("derivatives/synthseg/sub-01/sub-01_synthseg.nii.gz", labels=3, grid=Grid(SHAPE, affine))
    (session,) = plan().sessions
    assert [step.kind for step in session.steps] == ["qsm"]
    assert "nothing is resampled" in session.notes[0]


def test_several_segmentations_are_all_used_under_names_that_tell_them_apart(dataset, steps):
    dataset.gre("01")
    dataset.image("derivatives/fs-7/sub-01/mri/aseg.nii.gz", labels=3)
    dataset.image("derivatives/fs-7/sub-01/mri/aparc+aseg.nii.gz", labels=3)
    dataset.image("derivatives/ss/sub-01/anat/sub-01_synthseg.nii.gz", labels=3)
    dataset.image("derivatives/ss/sub-01/other/sub-01_synthseg.nii.gz", labels=3)
    regions = {name: step for name, step in steps().items() if step.kind == "regions"}
    assert sorted(regions) == [
        "regions_seg-fs7aparcaseg", "regions_seg-fs7aseg", "regions_seg-sssynthseg", "regions_seg-sssynthseg1",
    ]  # fmt: skip
    assert len({path for step in regions.values() for path in step.outputs}) == 8


def test_what_cannot_be_read_is_noted(dataset, plan):
    dataset.gre("01")
    dataset.put("derivatives/freesurfer/sub-01/mri/aseg.mgz", "x")
    dataset.put("derivatives/seg/sub-01/anat/sub-01_dseg.nii.gz", "no image")
    (session,) = plan().sessions
    assert "convert it to NIfTI" in session.notes[0]
    assert "sub-01_dseg.nii.gz" in session.notes[1]


def test_folders_given_are_searched_and_their_paths_are_absolute(dataset, steps, tmp_path, plan):
    dataset.gre("01")
    path = dataset.image("../more/sub-01/anat/sub-01_synthseg.nii.gz", labels=3)
    assert "regions" not in steps()
    step = steps(derivatives=[tmp_path / "more"])["regions"]
    assert step.inputs["labels"] == (path.resolve().as_posix(),)
    (tmp_path / "empty").mkdir()
    for name, words in (("nothing", "no such folder"), ("empty", "no folder sub-")):
        with pytest.raises(UsageError, match=words):
            plan(derivatives=[tmp_path / name])


def test_own_outputs_are_no_segmentations(dataset, config):
    from qsmengine.cohort.plan.build import plan_cohort

    dataset.gre("01")
    dataset.image("derivatives/mine/sub-01/anat/sub-01_synthseg.nii.gz", labels=3)
    assert (
        len(plan_cohort(dataset.root, dataset.root / "x/../derivatives/other", config).sessions[0].steps) == 2
    )
    for own in ("derivatives/mine", "derivatives/mine/deeper"):
        assert len(plan_cohort(dataset.root, dataset.root / own, config).sessions[0].steps) == 1


T1W = Grid((18, 18, 18), np.diag([2.0, 2.0, 2.0, 1.0]), 3.0)


@pytest.mark.parametrize(
    "name", ["sub-01_label-lesion_mask", "sub-01_space-T1w_label-lesion_dseg", "sub-01_ses-1_desc-lesions_mask"]
)
def test_anatomy_uses_the_mask_of_lesions_on_its_grid(dataset, steps, name):
    dataset.image("sub-01/anat/sub-01_T1w.nii.gz", grid=T1W)
    dataset.image(f"derivatives/lst/sub-01/anat/{name}.nii.gz", grid=T1W, labels=2)
    made = steps()
    step = made["anatomy"]
    assert step.inputs["lesions"] == (f"derivatives/lst/sub-01/anat/{name}.nii.gz",)
    assert step.inputs["lesions"][0] in " ".join(step.notes)
    assert not step.problems
    assert "regions" not in made


def test_several_masks_of_lesions_are_a_problem_and_one_on_another_grid_is_noted(dataset, steps):
    dataset.image("sub-01/anat/sub-01_T1w.nii.gz", grid=T1W)
    other = Grid((20, 18, 18), T1W.affine, 3.0)
    dataset.image("derivatives/a/sub-01/anat/sub-01_label-lesion_mask.nii.gz", grid=other, labels=2)
    step = steps()["anatomy"]
    assert "lesions" not in step.inputs
    assert any("a/sub-01/anat/sub-01_label-lesion_mask.nii.gz: not on the grid" in note for note in step.notes)
    for folder in ("b", "c"):
        dataset.image(f"derivatives/{folder}/sub-01/anat/sub-01_label-lesion_mask.nii.gz", grid=T1W, labels=2)
    (problem,) = steps()["anatomy"].problems
    assert "at most one" in problem
    assert "derivatives/b/" in problem
    assert "derivatives/c/" in problem


def test_without_masks_of_lesions_anatomy_is_planned_as_before(dataset, steps):
    dataset.image("sub-01/anat/sub-01_T1w.nii.gz", grid=T1W)
    step = steps()["anatomy"]
    assert set(step.inputs) == {"t1w"}
    assert not step.problems

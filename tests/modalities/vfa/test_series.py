"""Images of a session grouped into series with several flip angles."""

from __future__ import annotations

from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.modalities.vfa.roles import BALANCED, CYCLED, CYCLED_PHASE, FIRST, LATER, PHASE, SINGLE
from qsmengine.modalities.vfa.series import group


def files(*names):
    return [BidsFile(f"anat/{name}.nii.gz", BidsName.parse(f"{name}.nii.gz"), "anat") for name in names]


def test_flip_angles_and_echoes_form_one_series():
    names = [f"sub-1_echo-{echo}_flip-{flip}_VFA" for flip in (2, 1) for echo in (2, 1)]
    (series,), notes = group(files(*names))
    assert series.parts[FIRST] == tuple(f"anat/sub-1_echo-1_flip-{flip}_VFA.nii.gz" for flip in (1, 2))
    assert series.parts[LATER] == tuple(f"anat/sub-1_echo-2_flip-{flip}_VFA.nii.gz" for flip in (1, 2))
    assert (series.name.filename, series.problems, notes) == ("sub-1_VFA.nii.gz", (), [])


def test_one_echo_has_no_later_ones():
    (series,), _ = group(files("sub-1_flip-1_VFA", "sub-1_flip-2_VFA"))
    assert set(series.parts) == {FIRST}


def test_runs_are_separate_series():
    names = [f"sub-1_run-{run}_flip-{flip}_VFA" for run in (1, 2) for flip in (1, 2)]
    assert [one.step_name for one in group(files(*names))[0]] == ["vfa_run-1", "vfa_run-2"]


def test_magnetisation_transfer_and_incomplete_phases_are_left_out_with_notes():
    names = [f"sub-1_flip-{flip}_mt-off_part-mag_MPM" for flip in (1, 2)]
    found, notes = group(files(*names, "sub-1_flip-1_mt-on_part-mag_MPM", "sub-1_flip-1_mt-off_part-phase_MPM"))
    assert len(found) == 1
    assert len(found[0].parts[FIRST]) == 2
    assert PHASE not in found[0].parts
    assert "magnetisation transfer" in notes[0]
    assert "not used, phase of anat/sub-1_flip-2_mt-off_part-mag_MPM.nii.gz is missing" in found[0].notes[0]


def test_phases_have_the_order_of_the_magnitudes():
    names = [
        f"sub-1_flip-{flip}_echo-{echo}_part-{part}_VFA"
        for part in ("phase", "mag") for flip in (2, 1) for echo in (2, 1)
    ]  # fmt: skip
    (one,), _ = group(files(*names))
    images = [*one.parts[FIRST], *one.parts[LATER]]
    assert [path.replace("part-mag", "part-phase") for path in images] == list(one.parts[PHASE])


def test_balanced_images_belong_to_the_flip_angles_of_their_acquisition():
    spoiled = [f"sub-1_acq-{acq}_flip-{flip}_VFA" for acq in "ab" for flip in (1, 2)]
    (a, b), notes = group(files(*spoiled, "sub-1_acq-b_flip-1_bSSFP", "sub-1_acq-b_flip-2_bSSFP"))
    assert set(a.parts) == {FIRST}
    assert b.parts[BALANCED] == tuple(f"anat/sub-1_acq-b_flip-{flip}_bSSFP.nii.gz" for flip in (1, 2))
    assert notes == []


def test_complex_balanced_images_at_four_increments_and_single_flip_angles_have_roles():
    spoiled = ["sub-1_flip-1_VFA", "sub-1_flip-2_VFA"]
    cycled = [f"sub-1_inc-{deg}_part-{part}_bSSFP" for deg in (0, 90, 180, 270) for part in ("mag", "phase")]
    (one,), _ = group(files(*spoiled, *cycled))
    assert len(one.parts[CYCLED]) == 4
    assert [path.replace("mag", "phase") for path in one.parts[CYCLED]] == list(one.parts[CYCLED_PHASE])
    (one,), _ = group(files(*spoiled, *cycled[::2]))
    assert len(one.parts[SINGLE]) == 4


def test_balanced_images_without_a_series_are_reported():
    found, notes = group(files("sub-1_flip-1_bSSFP"))
    assert found == []
    assert "R2 needs the R1 of several flip angles" in notes[0]
    spoiled = [f"sub-1_run-{run}_flip-{flip}_VFA" for run in (1, 2) for flip in (1, 2)]
    assert "several series" in group(files(*spoiled, "sub-1_bSSFP"))[1][0]
    both = files("sub-1_flip-1_VFA", "sub-1_flip-2_VFA", "sub-1_bSSFP", "sub-1_acq-two_bSSFP")
    assert "has other balanced images" in group(both)[1][0]


def test_a_single_flip_angle_and_repeated_images_are_problems():
    (one,), _ = group(files("sub-1_flip-1_VFA"))
    assert "two flip angles" in one.problems[0]
    (twice,), _ = group(files("sub-1_flip-1_VFA", "sub-1_flip-2_VFA", "sub-1_flip-2_part-mag_VFA"))
    assert "the same flip angle and echo" in twice.problems[0]


def test_series_whose_maps_would_have_the_same_names_are_a_problem():
    names = [f"sub-1_flip-{flip}_{suffix}" for suffix in ("VFA", "MPM") for flip in (1, 2)]
    problems = [one.problems for one in group(files(*names))[0]]
    assert problems[0] == ()
    assert "add acq- to one" in problems[1][0]

"""Images of a session grouped into series with several flip angles."""

from __future__ import annotations

from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.modalities.vfa.series import FIRST, LATER, group


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


def test_magnetisation_transfer_and_phase_are_left_out_with_notes():
    names = [f"sub-1_flip-{flip}_mt-off_part-mag_MPM" for flip in (1, 2)]
    found, notes = group(files(*names, "sub-1_flip-1_mt-on_part-mag_MPM", "sub-1_flip-1_mt-off_part-phase_MPM"))
    assert len(found) == 1
    assert len(found[0].parts[FIRST]) == 2
    assert "magnetisation transfer" in notes[0]
    assert "phase" in found[0].notes[0]


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

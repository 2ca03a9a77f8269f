import numpy as np
import pytest

from qsmengine.cohort.select.dataset import Ignored, SessionFiles, scan_subject
from qsmengine.cohort.select.series import group_series
from qsmengine.io import BidsName
from qsmengine.io.bids import BidsFile


@pytest.fixture
def group(dataset):
    def grouped(subject="01"):
        (session,) = scan_subject(dataset.root, subject, Ignored())
        series, notes = group_series(session)
        return {one.step_name: one for one in series}, notes

    return grouped


def names(paths):
    return [path.rsplit("/", 1)[-1] for path in paths]


def test_runs_acquisitions_and_reconstructions_are_series_of_their_own(dataset, group):
    for entities in ("", "_run-1", "_run-2", "_acq-fine", "_acq-fine_run-1", "_rec-norm"):
        dataset.gre("01", entities=entities)
    series, notes = group()
    assert sorted(series) == [
        "qsm", "qsm_acq-fine", "qsm_acq-fine_run-1", "qsm_rec-norm", "qsm_run-1", "qsm_run-2",
    ]  # fmt: skip
    assert all(len(one.parts["magnitude"]) == len(one.parts["phase"]) == 3 for one in series.values())
    assert notes == []


def test_ten_echoes_are_in_the_order_of_their_numbers(dataset, group):
    dataset.gre("01", times=tuple(0.003 * n for n in range(1, 12)))
    series, _ = group()
    assert names(series["qsm"].parts["phase"]) == [
        f"sub-01_echo-{n}_part-phase_MEGRE.nii.gz" for n in range(1, 12)
    ]


@pytest.mark.parametrize("suffix", ["MEGRE", "T2starw", "GRE", "swi"])
@pytest.mark.parametrize("parts", [("mag", "phase"), ("", "phase"), ("real", "imag")])
def test_every_name_of_gradient_echoes_is_known(dataset, group, suffix, parts):
    dataset.gre("01", suffix=suffix, times=(0.02,), parts=parts, datatype="swi" if suffix == "swi" else "anat")
    series, notes = group()
    wanted = {"mag": "magnitude", "": "magnitude", "phase": "phase", "real": "real", "imag": "imag"}
    assert set(series["qsm"].parts) == {wanted[part] for part in parts}
    assert notes == []


def test_a_lone_magnitude_that_is_not_megre_is_left_aside(dataset, group):
    dataset.gre("01", suffix="T2starw", times=(0.02,), parts=("",))
    dataset.gre("01", suffix="MEGRE", parts=("mag",))
    series, notes = group()
    assert list(series) == ["qsm"]
    assert series["qsm"].name.suffix == "MEGRE"
    assert "sub-01_T2starw.nii.gz: no phase" in notes[0]


def test_a_processed_neighbour_without_phase_stops_nothing(dataset, group):
    dataset.gre("01", entities="_rec-ASPIRE")
    dataset.gre("01", entities="_rec-ROMEO", parts=("",))
    series, notes = group()
    assert list(series) == ["qsm_rec-ASPIRE"]
    assert "rec-ROMEO_echo-1_MEGRE.nii.gz" in notes[0]
    assert "no phase, not used" in notes[0]


def test_a_magnitude_whose_phase_has_another_name_stays_a_problem(dataset, group):
    dataset.gre("01", entities="_run-1")
    dataset.gre("01", entities="_acq-a", parts=("mag",))
    dataset.gre("01", entities="_acq-b", parts=("phase",))
    series, _ = group()
    assert {"qsm_acq-a", "qsm_acq-b"} <= set(series)
    assert "no phase under this name; the session has" in series["qsm_acq-a"].notes[-1]


def test_an_echo_without_its_partner_is_left_out_and_noted(dataset, group):
    made = dataset.gre("01")
    made[3].unlink()
    series, _ = group()
    assert names(series["qsm"].parts["magnitude"]) == [
        "sub-01_echo-1_part-mag_MEGRE.nii.gz",
        "sub-01_echo-3_part-mag_MEGRE.nii.gz",
    ]
    assert "sub-01_echo-2_part-mag_MEGRE.nii.gz: left out" in series["qsm"].notes[0]


def test_one_echo_twice_is_a_problem_that_names_both(dataset, group):
    dataset.gre("01", times=(0.01,))
    dataset.image("sub-01/anat/sub-01_part-mag_MEGRE.nii")
    dataset.gre("02", times=(0.01,), parts=("mag", "", "phase"))
    for subject, others in (("01", ("_MEGRE.nii", "_MEGRE.nii.gz")), ("02", ("sub-02_MEGRE", "part-mag"))):
        series, _ = group(subject)
        (problem,) = series["qsm"].problems
        assert all(other in problem for other in others)


def test_magnitude_and_phase_win_over_real_and_imaginary(dataset, group):
    dataset.gre("01", parts=("mag", "phase", "real", "imag"))
    dataset.gre("02", parts=("mag", "real", "imag"))
    first, second = group("01")[0]["qsm"], group("02")[0]["qsm"]
    assert set(first.parts) == {"magnitude", "phase"}
    (note,) = first.notes
    assert note.count("_part-real_") == note.count("_part-imag_") == 3
    assert note.endswith("not used, magnitude and phase exist")
    assert second.notes[0].count("_part-mag_") == 3
    assert set(second.parts) == {"real", "imag"}


def test_parts_under_different_names_are_pointed_out(dataset, group):
    dataset.gre("01", entities="_rec-norm", parts=("mag",))
    dataset.gre("01", parts=("phase",))
    series, _ = group()
    assert "sub-01/anat/sub-01_echo-1_part-phase_MEGRE.nii.gz" in series["qsm_rec-norm"].notes[0]
    assert "sub-01_rec-norm_echo-1_part-mag_MEGRE.nii.gz" in series["qsm"].notes[0]


def test_names_that_differ_in_the_suffix_alone_get_outputs_of_their_own(dataset, group):
    for suffix in ("swi", "MEGRE", "GRE"):
        dataset.gre("01", suffix=suffix)
        dataset.gre("01", suffix=suffix, entities="_acq-GRE")
    series, _ = group()
    assert len(series) == 6
    assert series["qsm"].name.suffix == "MEGRE"
    assert len({frozenset(one.name.entities.items()) for one in series.values()}) == 6


def test_diffusion_directions_and_parts(dataset, group):
    dataset.dwi("01", entities="_dir-AP_part-mag")
    dataset.image("sub-01/dwi/sub-01_dir-AP_part-phase_dwi.nii.gz", volumes=8)
    dataset.dwi("01", entities="_dir-PA")
    dataset.image("sub-01/dwi/sub-01_dir-AP_sbref.nii.gz")
    dataset.image("sub-01/dwi/sub-01_dir-LR_part-phase_dwi.nii.gz", volumes=8)
    series, notes = group()
    assert sorted(series) == ["dti_dir-AP", "dti_dir-LR", "dti_dir-PA"]
    assert names(series["dti_dir-AP"].parts["dwi"]) == ["sub-01_dir-AP_part-mag_dwi.nii.gz"]
    assert series["dti_dir-AP"].notes == (
        "sub-01/dwi/sub-01_dir-AP_part-phase_dwi.nii.gz: not used, the magnitude is fitted",
    )
    assert "magnitude is missing" in series["dti_dir-LR"].problems[0]
    assert notes == ["sub-01/dwi/sub-01_dir-AP_sbref.nii.gz: single-band reference, not used"]


def test_anatomy_comes_from_the_first_image_of_a_session(dataset, group):
    dataset.image("sub-01/anat/sub-01_run-2_T1w.nii.gz")
    dataset.image("sub-01/anat/sub-01_run-1_T1w.nii.gz")
    series, notes = group()
    (found,) = series.values()
    assert names(found.parts["t1w"]) == ["sub-01_run-1_T1w.nii.gz"]
    first, second = (f"sub-01/anat/sub-01_run-{run}_T1w.nii.gz" for run in (1, 2))
    assert notes == [f"{second}: not used, anatomy comes from {first}"]


@pytest.mark.parametrize("seed", range(40))
def test_no_image_is_lost_and_no_two_series_share_a_name(seed):
    rng = np.random.default_rng(seed)
    choices = {
        "acq": ("", "fine", "GRE", "T2starw"), "run": ("", "1", "2"), "echo": ("", "1", "2", "03", "x"),
        "part": ("", "mag", "phase", "real", "imag", "odd"),
    }  # fmt: skip
    names = set()
    for _ in range(rng.integers(1, 60)):
        entities = {"sub": "01", **{key: str(rng.choice(labels)) for key, labels in choices.items()}}
        suffix = str(rng.choice(["MEGRE", "T2starw", "GRE", "swi", "dwi"]))
        kept = {key: label for key, label in entities.items() if label}
        names.add(BidsName(kept, suffix, str(rng.choice([".nii", ".nii.gz"]))).filename)
    files = [BidsFile(f"sub-01/x/{name}", BidsName.parse(name), "x") for name in sorted(names)]
    series, notes = group_series(SessionFiles("01", None, tuple(files)))
    told = " ".join([*notes, *(text for one in series for text in (*one.notes, *one.problems))])
    used = [path for one in series for paths in one.parts.values() for path in paths]
    assert len(used) == len(set(used))
    for file in files:
        assert file.path in used or file.path in told, file.path
    assert len({(one.kind, frozenset(one.name.entities.items())) for one in series}) == len(series)
    assert len({one.step_name for one in series}) == len(series)
    for one in series:
        for paths in one.parts.values():
            assert paths or one.problems

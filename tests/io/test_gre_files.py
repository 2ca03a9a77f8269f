import json
from typing import Any

import numpy as np
import pytest

from qsmengine.errors import InputError, UsageError
from qsmengine.io.gre_files import open_gre
from qsmengine.io.nifti import read_image, write_image
from tests.made_sessions import ECHO_TIMES, make_ball, write_ball


@pytest.fixture
def files(tmp_path):
    return write_ball(tmp_path, make_ball(7, shape=(12, 11, 10)))


def test_headers_and_sidecars_tell_the_series(files):
    opened = open_gre(files["mag"][::-1], files["phase"], check_size=True)
    assert opened.echo_times == ECHO_TIMES
    assert opened.orders == ([2, 1, 0], [0, 1, 2])
    assert opened.grid.field_strength == 3.0
    assert opened.grid.shape == (12, 11, 10)
    assert len(opened.sources) == 12


def test_voxels_are_not_read(files, monkeypatch):
    import qsmengine.io.nifti as module

    monkeypatch.setattr(module, "read_stored", None)
    monkeypatch.setattr(np, "empty", None)
    assert open_gre(files["mag"], files["phase"]).echo_times == ECHO_TIMES


def test_all_problems_are_gathered_and_the_first_is_raised(files):
    for path in (*files["mag"], *files["phase"]):
        path.with_name(path.name.replace(".nii.gz", ".json")).unlink()
    problems: list[Any] = []
    with pytest.raises(InputError) as caught:
        open_gre(files["mag"], files["phase"], problems=problems)
    assert [problem.field for problem in problems] == ["EchoTime", "MagneticFieldStrength"]
    assert caught.value is problems[0]


def test_every_file_that_cannot_be_read_is_named(files):
    files["mag"][0].unlink()
    files["phase"][2].write_bytes(files["phase"][2].read_bytes()[:100])
    problems: list[Any] = []
    with pytest.raises(InputError):
        open_gre(files["mag"], files["phase"], problems=problems)
    assert [problem.source for problem in problems] == [str(files["mag"][0]), str(files["phase"][2])]


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_truncated_files_are_found_by_their_size_alone(files, keep):
    path = files["phase"][1]
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(InputError, match="truncated") as caught:
        open_gre(files["mag"], files["phase"], check_size=True)
    assert caught.value.source == str(path)


def test_parts_that_make_no_series_are_a_usage_error(files):
    with pytest.raises(UsageError, match="parts given: phase"):
        open_gre(phase=files["phase"])
    with pytest.raises(InputError, match="needs phase too"):
        open_gre(files["mag"])


def test_an_unknown_unit_of_phase_is_refused_unless_overridden(files):
    for path in files["phase"]:
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        sidecar.write_text(sidecar.read_text().replace('"rad"', '"turns"'))
    problems: list[Any] = []
    with pytest.raises(InputError, match="'turns'"):
        open_gre(files["mag"], files["phase"], problems=problems)
    assert len(problems) == 3
    assert open_gre(files["mag"], files["phase"], phase_units="rad").echo_times == ECHO_TIMES


def difference(files, **fields):
    """The first phase image alone, its sidecar with the fields of a Siemens field map."""
    sidecar = files["phase"][0].with_name(files["phase"][0].name.replace(".nii.gz", ".json"))
    content = {"MagneticFieldStrength": 3.0, "EchoTime1": 0.00492, "EchoTime2": 0.00738, **fields}
    sidecar.write_text(json.dumps(content))
    return files["mag"][:1], files["phase"][:1]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"EchoTime": 0.00738, "SeriesDescription": "gre_field_mapping"},
        {"EchoTime": 0.00738, "SequenceName": "*fm2d2r"},
    ],
)
def test_a_phase_difference_is_used_with_the_difference_of_its_echo_times(files, fields):
    opened = open_gre(*difference(files, **fields))
    assert opened.echo_times == pytest.approx((0.00246,))
    assert "phase difference" in opened.notes[0]


def test_a_phase_that_may_be_a_difference_or_an_echo_is_refused(files):
    with pytest.raises(InputError, match=r"--echo-times 0\.00246 for a difference and --echo-times 0\.00738"):
        open_gre(*difference(files, EchoTime=0.00738))
    opened = open_gre(*difference(files, EchoTime=0.00738), echo_times=[0.00246])
    assert opened.echo_times == (0.00246,)


@pytest.mark.parametrize("name", ["SeriesDescription", "ProtocolName"])
def test_the_phase_of_a_field_map_without_its_two_echo_times_is_refused(files, name):
    fields = {"EchoTime": 0.00738, name: "gre_field_mapping", "EchoTime1": None, "EchoTime2": None}
    with pytest.raises(InputError, match=r"add EchoTime1 and EchoTime2 .* or 0\.00738 for the phase of one"):
        open_gre(*difference(files, **fields))
    magnitude, phase = difference(files, **fields)
    assert open_gre(magnitude, phase, echo_times=[0.00246]).echo_times == (0.00246,)
    first = phase[0].with_name("sub-01_phase1.nii.gz")
    first.write_bytes(phase[0].read_bytes())
    own = {"MagneticFieldStrength": 3, **fields, "EchoTime": ECHO_TIMES[0]}
    first.with_name("sub-01_phase1.json").write_text(json.dumps(own))
    assert open_gre(magnitude, [first]).echo_times == ECHO_TIMES[:1]


def test_a_field_map_in_hertz_is_not_taken_for_a_phase(files):
    with pytest.raises(InputError, match=r"Hz: this is a field map"):
        open_gre(*difference(files, EchoTime1=None, EchoTime=0.004, Units="Hz"))


def test_two_magnitudes_with_one_phase_difference_are_refused_with_what_to_do(files):
    with pytest.raises(InputError, match="takes one magnitude"):
        open_gre(files["mag"][:2], difference(files)[1])


def test_the_first_echo_of_a_multi_echo_protocol_is_an_echo(files):
    magnitude, phase = difference(
        files, EchoTime=ECHO_TIMES[0], EchoTime1=ECHO_TIMES[0], EchoTime2=ECHO_TIMES[1]
    )
    assert open_gre(magnitude, phase).echo_times == ECHO_TIMES[:1]


def test_a_multi_echo_series_keeps_its_echo_times_beside_echo_time_1_and_2(files):
    for path, time in zip(files["phase"], ECHO_TIMES, strict=True):
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        content = json.loads(sidecar.read_text())
        sidecar.write_text(
            json.dumps(content | {"EchoTime": time, "EchoTime1": ECHO_TIMES[0], "EchoTime2": ECHO_TIMES[1]})
        )
    assert open_gre(files["mag"], files["phase"]).echo_times == ECHO_TIMES


@pytest.mark.parametrize("times", [None, list(ECHO_TIMES)])
def test_repetitions_of_an_echo_are_refused_with_what_to_do(files, times):
    for path in (*files["mag"], *files["phase"]):
        image = read_image(path)
        write_image(path, np.repeat(image.array[..., None], 3, axis=3), image.grid)
    with pytest.raises(InputError, match=r"each of the 3 files holds 3 repetitions of one echo; .*=average"):
        open_gre(files["mag"], files["phase"], echo_times=times)


def test_echo_times_in_a_larger_unit_are_refused(files):
    with pytest.raises(InputError, match="too short for a phase to form: echo times are in seconds"):
        open_gre(files["mag"], files["phase"], echo_times=[1e-6 * time for time in ECHO_TIMES])


def edit(path, **fields):
    sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **fields}))


def test_parts_of_different_participants_are_refused(files, tmp_path):
    other = write_ball(tmp_path / "b", make_ball(8, shape=(12, 11, 10)), "sub-02_{echo}part-{part}_MEGRE")
    with pytest.raises(InputError, match=r"sub-02_echo-1_part-phase_\S+: sub: not that of .*sub-01_"):
        open_gre(files["mag"], other["phase"])


@pytest.mark.parametrize("field", ["PatientID", "StudyInstanceUID"])
def test_sidecars_of_different_patients_are_refused_without_their_names(files, field):
    for path in (*files["mag"], *files["phase"]):
        edit(path, **{field: "Doe 1"})
    open_gre(files["mag"], files["phase"])
    edit(files["phase"][2], **{field: "Doe 2"})
    with pytest.raises(InputError, match=rf"echo-3_part-phase_MEGRE\.nii\.gz: {field}: not that of") as caught:
        open_gre(files["mag"], files["phase"])
    assert "Doe" not in str(caught.value)


def test_parts_acquired_at_different_times_are_noted(files):
    for path in files["mag"]:
        edit(path, AcquisitionTime="23:59:50.25")
    for path, clock in zip(files["phase"], ("23:59:50.25", "00:00:10", "00:04:02.5"), strict=True):
        edit(path, AcquisitionTime=clock)
    (note,) = open_gre(files["mag"], files["phase"]).notes
    assert note.startswith("magnitude and phase of echo 3 were acquired 252 s apart")


def test_parts_of_different_runs_are_noted_unless_times_agree(files, tmp_path):
    other = write_ball(tmp_path / "b", make_ball(8, shape=(12, 11, 10)), "sub-01_run-2_{echo}part-{part}_MEGRE")
    first = write_ball(tmp_path / "a", make_ball(8, shape=(12, 11, 10)), "sub-01_run-1_{echo}part-{part}_MEGRE")
    notes = open_gre(first["mag"], other["phase"]).notes
    assert len(notes) == 3
    assert "magnitude and phase of echo 1 are called run-1 and run-2" in notes[0]
    for path in (*first["mag"], *other["phase"]):
        edit(path, AcquisitionTime="10:00:00")
    assert not open_gre(first["mag"], other["phase"]).notes

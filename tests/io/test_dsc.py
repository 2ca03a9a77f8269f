import json

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io.dsc import load_dsc, open_dsc

SECONDS, MILLISECONDS = 2 + 8, 2 + 16
"""xyzt_units: millimetres with each unit of time."""
FULL = {"EchoTime": 0.03, "RepetitionTime": 1.5}


@pytest.fixture
def series(save, rng):
    """Write an echo: series(name, sidecar, frames=..., pixdim4=..., units=...)."""

    def _series(name="sub-01_dsc.nii.gz", sidecar=FULL, *, frames=24, step=1.0, units=SECONDS, array=None):
        if array is None:
            array = rng.integers(50, 2000, (6, 5, 4, frames)).astype(np.int16)
        path = save(name, array, sidecar=sidecar, xyzt_units=units)
        set_step(path, step)
        return path

    return _series


def set_step(path, step):
    """Write pixdim[4] into the header of a gzip NIfTI-1 file."""
    import gzip

    content = bytearray(gzip.decompress(path.read_bytes()))
    content[76 + 16 : 76 + 20] = np.float32(step).tobytes()
    path.write_bytes(gzip.compress(bytes(content), 1))


def test_a_series_loads_with_its_times(series, rng):
    array = rng.integers(50, 2000, (6, 5, 4, 24)).astype(np.int16)
    sidecar = {**FULL, "SliceTiming": [0.0, 0.7, 0.3, 1.0]}
    loaded = load_dsc(series(sidecar=sidecar, array=array))
    np.testing.assert_array_equal(loaded.series.signals[0], array)
    assert loaded.series.signals[0].dtype == np.float32
    assert (loaded.series.echo_times, loaded.series.repetition_time) == ((0.03,), 1.5)
    assert loaded.series.slice_times.tolist() == [0.0, 0.7, 0.3, 1.0]
    assert [source.name for source in loaded.sources] == ["sub-01_dsc.nii.gz", "sub-01_dsc.json"]
    assert loaded.unknown is None


def test_echoes_are_ordered_by_echo_time(series):
    late = series("sub-01_echo-1_dsc.nii.gz", {**FULL, "EchoTime": 0.05})
    early = series("sub-01_echo-2_dsc.nii.gz", {**FULL, "EchoTime": 0.015})
    file = open_dsc([late, early])
    assert file.echo_times == (0.015, 0.05)
    assert [one.path for one in file.files] == [early, late]


def test_times_are_inherited_in_a_dataset(save, rng, tmp_path):
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    (tmp_path / "dsc.json").write_text(json.dumps(FULL))
    array = rng.integers(50, 2000, (4, 4, 3, 21)).astype(np.int16)
    path = save("sub-01/perf/sub-01_dsc.nii.gz", array, sidecar={"EchoTime": 0.04})
    file = open_dsc(path)
    assert (file.echo_times, file.repetition_time) == ((0.04,), 1.5)


def test_slices_counted_from_the_top_are_turned_round(series):
    sidecar = {**FULL, "SliceTiming": [0.0, 0.1, 0.2, 0.3], "SliceEncodingDirection": "k-"}
    assert open_dsc(series(sidecar=sidecar)).slice_times.tolist() == [0.3, 0.2, 0.1, 0.0]


def test_slices_along_another_axis_leave_the_timing_out(series):
    file = open_dsc(series(sidecar={**FULL, "SliceTiming": [0.0] * 6, "SliceEncodingDirection": "i"}))
    assert file.slice_times is None
    assert any("slice timing is not used" in note for note in file.notes)


@pytest.mark.parametrize(("step", "units", "expected"), [(1.8, SECONDS, 1.8), (1250.0, MILLISECONDS, 1.25)])
def test_the_header_states_the_time_between_frames_if_no_sidecar_does(series, step, units, expected):
    file = open_dsc(series(sidecar={"EchoTime": 0.03}, step=step, units=units))
    assert file.repetition_time == pytest.approx(expected, rel=1e-6)
    assert any("pixdim[4]" in note for note in file.notes)


@pytest.mark.parametrize(
    ("step", "units", "said"),
    [
        (1.8, 2, "states no time"),
        (1.0, SECONDS, "is 1 s"),
        (0.0, SECONDS, "states no time"),
        (1.8, MILLISECONDS, r"0\.0018 s is not between"),
        (1500.0, SECONDS, r"if it is in milliseconds, use 1\.5"),
    ],
)
def test_a_header_without_a_plausible_time_and_unit_is_refused(series, step, units, said):
    path = series(sidecar={"EchoTime": 0.03}, step=step, units=units)
    with pytest.raises(InputError, match=f"sub-01_dsc.*{said}.*give --tr"):
        open_dsc(path)
    assert open_dsc(path, repetition_time=1.5).repetition_time == 1.5


def test_volume_timing_states_the_time_between_frames(series):
    starts = [1.5 * frame for frame in range(24)]
    assert open_dsc(series(sidecar={"EchoTime": 0.03, "VolumeTiming": starts})).repetition_time == 1.5
    uneven = [*starts[:-1], starts[-1] + 1.0]
    with pytest.raises(InputError, match=r"VolumeTiming: .*equally spaced"):
        open_dsc(series(sidecar={"EchoTime": 0.03, "VolumeTiming": uneven}))
    with pytest.raises(InputError, match=r"RepetitionTime: 2 s, but VolumeTiming has frames 1\.5 s apart"):
        open_dsc(series(sidecar={**FULL, "RepetitionTime": 2.0, "VolumeTiming": starts}))


def test_arguments_win_and_are_noted(series):
    file = open_dsc(series(), echo_times=[0.04], repetition_time=2.0)
    assert (file.echo_times, file.repetition_time) == ((0.04,), 2.0)
    assert sum("override" in note for note in file.notes) == 2


def test_a_header_that_contradicts_the_sidecar_is_refused(series):
    with pytest.raises(
        InputError, match=r"RepetitionTime: 1\.5 s in the sidecar, but pixdim\[4\].*2 s; give --tr"
    ):
        open_dsc(series(step=2.0))
    assert any("ignored" in note for note in open_dsc(series(step=1.0)).notes)


def test_echoes_that_contradict_each_other_are_refused(series):
    first = series("sub-01_echo-1_dsc.nii.gz", {**FULL, "EchoTime": 0.015})
    second = series("sub-01_echo-2_dsc.nii.gz", {"EchoTime": 0.05, "RepetitionTime": 2.0})
    with pytest.raises(InputError, match=r"echo-2.*RepetitionTime: 2 s, .*echo-1.* has 1\.5 s"):
        open_dsc([first, second])
    short = series("sub-01_echo-2_dsc.nii.gz", {**FULL, "EchoTime": 0.05}, frames=22)
    with pytest.raises(InputError, match=r"echo-2.*22 frames, .*echo-1.* has 24"):
        open_dsc([first, short])
    same = series("sub-01_echo-2_dsc.nii.gz", {**FULL, "EchoTime": 0.015})
    with pytest.raises(InputError, match="not ascending and distinct"):
        open_dsc([first, same])


@pytest.mark.parametrize(
    ("shape", "field", "said"),
    [((6, 5, 4), r"dim\[0\]", "three dimensions"), ((6, 5, 4, 19), r"dim\[4\]", "19 frames")],
)
def test_images_without_enough_frames_are_refused(series, rng, shape, field, said):
    path = series(array=rng.integers(1, 900, shape).astype(np.int16))
    with pytest.raises(InputError, match=f"sub-01_dsc.nii.gz: {field}: .*{said}"):
        load_dsc(path)


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ({"RepetitionTime": 1.5}, "EchoTime: not found.*give --te"),
        ({**FULL, "EchoTime": 30.0}, r"EchoTime: .*exceeds 1 s.*milliseconds"),
        ({**FULL, "EchoTime": "long"}, "EchoTime: 'long' is not a number"),
        ({**FULL, "RepetitionTime": 1500}, r"RepetitionTime: 1500 s.*milliseconds, use 1\.5; give --tr"),
        ({**FULL, "SliceTiming": [0, 0.5, 1.0]}, "SliceTiming: 3 times for 4 slices"),
        ({**FULL, "SliceTiming": [0, 500, 900, 1200]}, "SliceTiming: .*seconds, not milliseconds"),
        ({**FULL, "SliceTiming": [0, 0.5, -0.5, 1.0]}, "SliceTiming: .*outside a frame"),
    ],
)
def test_sidecars_that_cannot_be_used_are_refused(series, sidecar, said):
    with pytest.raises(InputError, match=said) as caught:
        open_dsc(series(sidecar=sidecar))
    assert "\n" not in str(caught.value)


def test_every_problem_of_a_series_is_collected(series):
    problems = []
    with pytest.raises(InputError):
        open_dsc(series(sidecar={}), problems=problems)
    assert [problem.field for problem in problems] == ["EchoTime", "RepetitionTime"]


def test_voxels_that_are_not_finite_are_left_out_or_the_series_is_refused(series, rng):
    array = rng.uniform(100, 900, (12, 11, 10, 24)).astype(np.float32)
    array[3, 4, 2, 7] = np.nan
    loaded = load_dsc(series(array=array))
    assert (loaded.series.signals[0][3, 4, 2] == 0).all()
    assert np.argwhere(loaded.unknown).tolist() == [[3, 4, 2]]
    array[:6, ..., 5] = np.inf
    with pytest.raises(InputError, match="frame 6 is NaN or infinite in"):
        load_dsc(series(array=array))


def test_series_without_signal_and_more_than_two_echoes_are_refused(series):
    with pytest.raises(InputError, match="no signal"):
        load_dsc(series(array=np.zeros((6, 5, 4, 24), np.int16)))
    with pytest.raises(InputError, match="one or two echoes"):
        open_dsc([series()] * 3)
    with pytest.raises(InputError, match="2 echo times for 1 images"):
        open_dsc(series(), echo_times=[0.01, 0.02])


def test_cut_off_files_are_refused_before_their_voxels_are_read(series):
    path = series("sub-01_dsc.nii.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"sub-01_dsc\.nii\.gz"):
        open_dsc(path)

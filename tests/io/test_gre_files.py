import numpy as np
import pytest

from qsmengine.errors import InputError, UsageError
from qsmengine.io.gre_files import open_gre
from tests.sessions import ECHO_TIMES, make_ball, write_ball


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
    problems = []
    with pytest.raises(InputError) as caught:
        open_gre(files["mag"], files["phase"], problems=problems)
    assert [problem.field for problem in problems] == ["EchoTime", "MagneticFieldStrength"]
    assert caught.value is problems[0]


def test_every_file_that_cannot_be_read_is_named(files):
    files["mag"][0].unlink()
    files["phase"][2].write_bytes(files["phase"][2].read_bytes()[:100])
    problems = []
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
    with pytest.raises(InputError, match="needs phase beside it"):
        open_gre(files["mag"])


def test_an_unknown_unit_of_phase_is_refused_unless_overridden(files):
    for path in files["phase"]:
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        sidecar.write_text(sidecar.read_text().replace('"rad"', '"turns"'))
    problems = []
    with pytest.raises(InputError, match="'turns'"):
        open_gre(files["mag"], files["phase"], problems=problems)
    assert len(problems) == 3
    assert open_gre(files["mag"], files["phase"], phase_units="rad").echo_times == ECHO_TIMES

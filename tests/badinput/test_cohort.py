"""Bad sessions in a dataset: each is named with file and field, and the others are not touched by it."""

import gzip
import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.grid import Grid
from tests.cohort.making import Dataset

ANAT = "sub-02/anat/sub-02"


@pytest.fixture
def dataset(tmp_path):
    made = Dataset(tmp_path / "bids", seed=3)
    for subject in ("01", "02", "03"):
        made.gre(subject)
        made.dwi(subject)
    return made


def edit(dataset, name, **changes):
    path = dataset.root / f"{ANAT}_{name}_MEGRE.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def image(dataset, name="echo-2_part-phase"):
    return dataset.root / f"{ANAT}_{name}_MEGRE.nii.gz"


def every_sidecar(dataset, **changes):
    for echo in (1, 2, 3):
        for part in ("mag", "phase"):
            edit(dataset, f"echo-{echo}_part-{part}", **changes)


def no_sidecar(dataset):
    for path in (dataset.root / "sub-02" / "anat").glob("*.json"):
        path.unlink()
    return "qsm", ("echo-1_part-mag", "EchoTime", "not found; searched", "*MEGRE.json")


def one_sidecar_missing(dataset):
    (dataset.root / f"{ANAT}_echo-2_part-mag_MEGRE.json").unlink()
    return "qsm", ("echo-2_part-mag", "EchoTime", "not found")


def no_field_strength(dataset):
    every_sidecar(dataset, MagneticFieldStrength=None)
    return "qsm", ("echo-1_part-mag", "MagneticFieldStrength", "not found")


def no_echo_time_but_a_field_strength(dataset):
    every_sidecar(dataset, EchoTime=None)
    return "qsm", ("EchoTime", "not found")


def milliseconds(dataset):
    for echo in (1, 2, 3):
        for part in ("mag", "phase"):
            edit(dataset, f"echo-{echo}_part-{part}", EchoTime=5.0 * echo)
    return "qsm", ("sub-02_echo-1_part-mag_MEGRE.json", "EchoTime", "milliseconds")


def equal_echo_times(dataset):
    every_sidecar(dataset, EchoTime=0.01)
    return "qsm", ("EchoTime",)


def echo_time_of_one_part_differs(dataset):
    edit(dataset, "echo-3_part-phase", EchoTime=0.5)
    return "qsm", ("part-phase", "EchoTime", "0.5")


def echo_time_is_text(dataset):
    edit(dataset, "echo-3_part-phase", EchoTime="late")
    return "qsm", ("sub-02_echo-3_part-phase_MEGRE.json", "EchoTime", "'late' is not a number")


def impossible_field_strength(dataset):
    every_sidecar(dataset, MagneticFieldStrength=3000)
    return "qsm", ("MagneticFieldStrength", "3000")


def unknown_phase_unit(dataset):
    edit(dataset, "echo-1_part-phase", Units="degrees")
    return "qsm", ("echo-1_part-phase", "Units", "'degrees'")


def damaged_sidecar(dataset):
    (dataset.root / f"{ANAT}_echo-1_part-mag_MEGRE.json").write_text('{"EchoTime": 0.01,}')
    return "qsm", ("sub-02_echo-1_part-mag_MEGRE.json", "line 1 column")


def truncated_gzip(dataset):
    image(dataset).write_bytes(image(dataset).read_bytes()[:-20])
    return "qsm", ("echo-2_part-phase", "truncated")


def truncated_before_the_header_ends(dataset):
    image(dataset).write_bytes(gzip.compress(gzip.decompress(image(dataset).read_bytes())[:200]))
    return "qsm", ("echo-2_part-phase", "truncated")


def voxels_are_missing(dataset):
    image(dataset).write_bytes(gzip.compress(gzip.decompress(image(dataset).read_bytes())[:-40]))
    return "qsm", ("echo-2_part-phase", "truncated")


def voxels_are_missing_of_a_plain_file(dataset):
    image(dataset).write_bytes(gzip.decompress(image(dataset).read_bytes())[:-40])
    return "qsm", ("echo-2_part-phase", "truncated")


def damaged_gzip(dataset):
    data = bytearray(image(dataset).read_bytes())
    data[20:40] = bytes(20)
    image(dataset).write_bytes(data)
    return "qsm", ("echo-2_part-phase",)


def empty_file(dataset):
    image(dataset).write_bytes(b"")
    return "qsm", ("echo-2_part-phase",)


def unfetched_link(dataset):
    image(dataset).unlink()
    image(dataset).symlink_to("../../.git/annex/objects/Gx/1w/MD5E-s9--ab.nii.gz/MD5E-s9--ab.nii.gz")
    return "qsm", ("echo-2_part-phase", "datalad get")


def annex_pointer(dataset):
    image(dataset).write_text("/annex/objects/MD5E-s123--d41d8cd98f00b204e9800998ecf8427e.nii.gz\n")
    return "qsm", ("echo-2_part-phase", "datalad get")


def other_shape(dataset):
    dataset.image(
        image(dataset).relative_to(dataset.root).as_posix(), grid=Grid((7, 6, 4), dataset.grid.affine)
    )
    return "qsm", ("echo-2_part-phase", "dim", "(7, 6, 4)", "(7, 6, 5)")


def other_place(dataset):
    affine = dataset.grid.affine.copy()
    affine[1, 3] += 0.5
    dataset.image(image(dataset).relative_to(dataset.root).as_posix(), grid=Grid((7, 6, 5), affine))
    return "qsm", ("echo-2_part-phase", "affine")


def no_phase(dataset):
    for path in (dataset.root / "sub-02" / "anat").glob("*part-phase*"):
        path.unlink()
    return "qsm", ("echo-1_part-mag", "needs phase too")


def no_magnitude(dataset):
    for path in (dataset.root / "sub-02" / "anat").glob("*part-mag*"):
        path.unlink()
    return "qsm", ("sub-02_MEGRE", "parts given: phase")


def the_same_echo_twice(dataset):
    dataset.image(f"{ANAT}_echo-2_part-phase_MEGRE.nii")
    return "qsm", ("echo-2_part-phase_MEGRE.nii", "echo-2_part-phase_MEGRE.nii.gz", "remove one")


def no_orientation(dataset):
    data = bytearray(gzip.decompress(image(dataset).read_bytes()))
    data[252:256] = bytes(4)
    image(dataset).write_bytes(gzip.compress(bytes(data)))
    return "qsm", ("echo-2_part-phase", "sform_code/qform_code")


def dwi(dataset, ending):
    return dataset.root / "sub-02" / "dwi" / f"sub-02_dwi{ending}"


def no_b_values(dataset):
    dwi(dataset, ".bval").unlink()
    return "dti", ("sub-02_dwi.bval", "not found next to")


def no_directions(dataset):
    dwi(dataset, ".bvec").unlink()
    return "dti", ("sub-02_dwi.bvec", "not found next to")


def another_count(dataset):
    dwi(dataset, ".bval").write_text("0 1000 1000")
    return "dti", ("sub-02_dwi.nii.gz", "bval/bvec", "8 volumes", "3 b-values", "8 directions")


def zero_direction(dataset):
    vectors = np.loadtxt(dwi(dataset, ".bvec"))
    vectors[:, 4] = 0
    np.savetxt(dwi(dataset, ".bvec"), vectors)
    return "dti", ("sub-02_dwi.bvec", "bvec", "volumes 5")


def truncated_dwi(dataset):
    data = dwi(dataset, ".nii.gz").read_bytes()
    dwi(dataset, ".nii.gz").write_bytes(data[: len(data) // 2])
    return "dti", ("sub-02_dwi.nii.gz", "truncated")


@pytest.mark.parametrize(
    "breaker",
    [
        no_sidecar, one_sidecar_missing, no_field_strength, no_echo_time_but_a_field_strength, milliseconds,
        equal_echo_times, echo_time_of_one_part_differs, echo_time_is_text, impossible_field_strength,
        unknown_phase_unit, damaged_sidecar, truncated_gzip, truncated_before_the_header_ends,
        voxels_are_missing, voxels_are_missing_of_a_plain_file, damaged_gzip, empty_file, unfetched_link,
        annex_pointer, other_shape, other_place, no_phase, no_magnitude, the_same_echo_twice,
        no_orientation, no_b_values, no_directions, another_count, zero_direction, truncated_dwi,
    ],
)  # fmt: skip
def test_a_bad_session_is_named_and_the_others_can_run(dataset, tmp_path, capsys, breaker):
    kind, words = breaker(dataset)
    before = sorted(tmp_path.rglob("*"))
    assert main(["plan", str(dataset.root), str(tmp_path / "out"), "--json", "--device", "cpu"]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    tree = json.loads(captured.out)
    broken = {(s["subject"], step["kind"]) for s in tree["sessions"] for step in s["steps"] if step["problems"]}
    assert broken == {("02", kind)}
    problems = [p for s in tree["sessions"] for step in s["steps"] for p in step["problems"]]
    assert any(all(word in problem for word in words) for problem in problems), problems
    assert all("\n" not in problem and str(dataset.root) not in problem for problem in problems)
    assert (tree["totals"]["whole"], tree["totals"]["partial"], tree["totals"]["blocked"]) == (2, 1, 0)
    assert sorted(tmp_path.rglob("*")) == before

import json

import pytest

from qsmengine.errors import InputError
from qsmengine.io import read_json, read_sidecar

IMAGE = "sub-1/ses-2/anat/sub-1_ses-2_echo-1_part-mag_MEGRE.nii.gz"


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def dataset(tmp_path):
    put(tmp_path / "ds" / "dataset_description.json", {"Name": "x"})
    put(tmp_path / "MEGRE.json", {"MagneticFieldStrength": 99, "Outside": 1})
    return tmp_path / "ds"


def test_the_deepest_file_wins_and_only_ancestors_apply(dataset):
    put(dataset / "MEGRE.json", {"MagneticFieldStrength": 3, "EchoTime": 1e-3, "A": "root"})
    put(dataset / "echo-1_MEGRE.json", {"EchoTime": 2e-3})
    put(dataset / "sub-1" / "sub-1_MEGRE.json", {"A": "subject", "B": "subject"})
    put(dataset / "sub-1" / "sub-2_MEGRE.json", {"A": "other subject"})
    put(dataset / "sub-1" / "ses-2" / "anat" / "sub-1_ses-2_echo-2_MEGRE.json", {"A": "other echo"})
    put(dataset / "sub-1" / "ses-2" / "anat" / "sub-1_ses-2_echo-1_MEGRE.json", {"EchoTime": 4e-3})
    put(dataset / IMAGE.replace(".nii.gz", ".json"), {"B": "own"})
    put(dataset / "sub-1" / "ses-2" / "anat" / "sub-1_T1w.json", {"A": "other suffix"})
    sidecar = read_sidecar(dataset / IMAGE)
    assert sidecar.values == {"MagneticFieldStrength": 3, "EchoTime": 4e-3, "A": "subject", "B": "own"}
    assert (sidecar.echo_time, sidecar.field_strength) == (4e-3, 3.0)
    assert [path.name for path in sidecar.files] == [
        "MEGRE.json",
        "echo-1_MEGRE.json",
        "sub-1_MEGRE.json",
        "sub-1_ses-2_echo-1_MEGRE.json",
        "sub-1_ses-2_echo-1_part-mag_MEGRE.json",
    ]
    assert sidecar.origin["A"] == dataset / "sub-1" / "sub-1_MEGRE.json"


def test_outside_a_dataset_only_the_own_folder_counts(tmp_path):
    put(tmp_path / "MEGRE.json", {"EchoTime": 1})
    put(tmp_path / "a" / "MEGRE.json", {"EchoTime": 0.5})
    assert read_sidecar(tmp_path / "a" / "sub-1_MEGRE.nii.gz").echo_time == 0.5
    assert read_sidecar(tmp_path / "b" / "sub-1_MEGRE.nii.gz").echo_time is None


def test_a_name_that_is_not_bids_has_the_file_beside_it(tmp_path):
    put(tmp_path / "my scan.json", {"EchoTime": 0.01})
    assert read_sidecar(tmp_path / "my scan.nii.gz").echo_time == 0.01
    assert read_sidecar(tmp_path / "my scan.hdr").echo_time == 0.01


def test_a_missing_field_lists_what_was_searched(dataset):
    with pytest.raises(InputError) as caught:
        read_sidecar(dataset / IMAGE).require_number("EchoTime", "give echo_times")
    text = str(caught.value)
    assert text.startswith(f"{dataset / IMAGE}: EchoTime: not found; searched ")
    for place in ("ds/*MEGRE.json", "ses-2/*MEGRE.json", "part-mag_MEGRE.json", "give echo_times"):
        assert place in text


def test_numbers_written_as_text_are_read_with_one_note(tmp_path):
    put(tmp_path / "a.json", {"EchoTime": " 0.004 ", "MagneticFieldStrength": "3T"})
    sidecar = read_sidecar(tmp_path / "a.nii")
    assert [sidecar.echo_time, sidecar.echo_time] == [0.004, 0.004]
    assert len(sidecar.notes) == 1
    assert "EchoTime" in sidecar.notes[0]
    with pytest.raises(InputError, match=r"a\.json: MagneticFieldStrength: '3T' is not a number"):
        _ = sidecar.field_strength


@pytest.mark.parametrize("value", [True, {"a": 1}, [0.1], "nan", "1e999"])
def test_what_is_no_finite_number_is_refused(tmp_path, value):
    put(tmp_path / "a.json", {"EchoTime": value})
    with pytest.raises(InputError, match=r"a\.json: EchoTime: .* is not a number"):
        _ = read_sidecar(tmp_path / "a.nii").echo_time


def test_a_list_of_numbers_and_text_have_their_getters(tmp_path):
    put(tmp_path / "a.json", {"EchoTime": [0.1, "0.2"], "Units": "rad", "Bad": 3})
    sidecar = read_sidecar(tmp_path / "a.nii")
    assert sidecar.numbers("EchoTime") == [0.1, 0.2]
    assert (sidecar.text("Units"), sidecar.text("None"), sidecar.numbers("None")) == ("rad", None, None)
    with pytest.raises(InputError, match="Bad: 3 is not text"):
        sidecar.text("Bad")


def test_a_byte_order_mark_is_accepted(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + b'{"EchoTime": 0.01}')
    assert read_json(tmp_path / "a.json") == {"EchoTime": 0.01}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b'{\n "a": 1,\n "b": NaN\n}', "line 3 column 7: NaN"),
        (b'{"t": "NaN is text, \\" too", "b": -Infinity}', "line 1 column 35: -Infinity"),
        (b'{\n "a": 1,\n}', "line [23] column"),
        (b'{"a": 1} x', "line 1 column 10"),
        (b'{"a":\n "\xff"}', "not UTF-8 at line 2 column 3"),
        (b"[1, 2]", "contains a list"),
        (b"[" * 100000, "sidecar"),
        (b"", "line 1 column 1"),
    ],
)
def test_broken_json_names_file_line_and_column(tmp_path, content, where):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=f"a.json: .*{where}"):
        read_json(tmp_path / "a.json")

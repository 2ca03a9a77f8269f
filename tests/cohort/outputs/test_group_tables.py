import csv
import json

import pytest

from qsmengine.cohort.outputs.group_tables import NAME, write_group_table
from qsmengine.errors import InputError
from tests.report.results import write_table


def read(path):
    return list(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))


def test_tables_of_all_sessions_are_one_below_the_other(tmp_path):
    write_table(tmp_path, "sub-02", {"caudate": 0.5})
    write_table(tmp_path, "sub-01_ses-b", {"pallidum": 0.25, "caudate": 0.75})
    path = write_group_table(tmp_path)
    assert path == tmp_path / NAME
    rows = read(path)
    found = {(r["participant_id"], r["session_id"], r["region"], r["hemisphere"]): r["chi_mean"] for r in rows}
    assert len(rows) == 6
    assert found["sub-01", "ses-b", "pallidum", "bilateral"] == "0.25"
    assert found["sub-02", "n/a", "caudate", "bilateral"] == "0.5"
    assert (tmp_path / rows[0]["source"]).is_file()


def test_dictionary_describes_the_columns(tmp_path):
    write_table(tmp_path, "sub-01", {"pallidum": 0.25})
    dictionary = json.loads(write_group_table(tmp_path).with_suffix(".json").read_text())
    assert dictionary["chi_mean"]["Units"] == "ppm"
    assert "participant_id" in dictionary


def test_column_that_a_session_lacks_is_not_available(tmp_path):
    write_table(tmp_path, "sub-01", {"pallidum": 0.25})
    other = write_table(tmp_path, "sub-02", {"pallidum": 0.25})
    other.write_text(other.read_text().replace("chi_sd", "r2star_mean"))
    rows = read(write_group_table(tmp_path))
    values = {(r["participant_id"], r["hemisphere"]): (r["chi_sd"], r["r2star_mean"]) for r in rows}
    assert values["sub-01", "left"] == ("0.1", "n/a")
    assert values["sub-02", "left"] == ("n/a", "0.1")


def test_own_output_is_not_an_input_of_the_next_call(tmp_path):
    write_table(tmp_path, "sub-01", {"pallidum": 0.25})
    before = write_group_table(tmp_path).read_bytes()
    assert write_group_table(tmp_path).read_bytes() == before


def test_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(InputError, match="no sub-"):
        write_group_table(tmp_path)

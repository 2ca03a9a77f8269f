import json

import numpy as np
import pandas as pd
import pytest

from qsmengine.errors import InputError
from qsmengine.stats.tables import read_table, write_table


def test_formulas_are_text_on_disk_and_numbers_stay_numbers(tmp_path):
    path = tmp_path / "a.tsv"
    table = pd.DataFrame(
        {
            "region": ['=HYPERLINK("http://x")', "-thalamus", "+1", None],
            "code": pd.Categorical(["@a", "b", "-2", "b"]),
            "=value": [-1.5, np.nan, 2.0, -3e-12],
            "n": pd.array([-1, 2, pd.NA, 4], dtype="Int64"),
        }
    )
    write_table(table, path, {str(name): {"Description": str(name)} for name in table})
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    assert lines == [
        ["region", "code", "'=value", "n"],
        ['"\'=HYPERLINK(""http://x"")"', "'@a", "-1.5", "-1"],
        ["'-thalamus", "b", "n/a", "2"],
        ["+1", "-2", "2", "n/a"],
        ["n/a", "b", "-3e-12", "4"],
    ]
    assert list(json.loads(path.with_suffix(".json").read_text())) == list(table)
    read = read_table(path)
    assert list(read) == list(table)
    assert read["region"].tolist()[:3] == table["region"].tolist()[:3]
    assert read["code"].tolist() == ["@a", "b", "-2", "b"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not a tab-separated table"),
        (b"a\tb\n1\t2\t3\n", r"not a tab-separated table \(.* saw 3\): the first row must name the columns"),
        (b"a\ta \n1\t2\n", "column 'a' appears twice"),
        (b"a\t\n1\t2\n", "column 2 has values and no name"),
        (b"a\tb\n\xff\xfe\n", "not a text file"),
        (b"a\tb\n1\0\t2\n", "not a text file"),
        (b'a\tb\n"1\t2\n', "not a tab-separated table"),
    ],
)
def test_files_that_are_not_tables_are_refused_by_name(tmp_path, content, what):
    path = tmp_path / "participants.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"participants\.tsv: {what}"):
        read_table(path)


def test_a_folder_in_place_of_a_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path)


def test_byte_order_marks_blanks_and_an_empty_last_column_do_not_matter(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_bytes(b"\xef\xbb\xbf participant_id\t age \t\r\nsub-01 \t 40\t\r\nsub-02\tn/a\t\r\n")
    table = read_table(path)
    assert list(table) == ["participant_id", "age"]
    assert table["participant_id"].tolist() == ["sub-01", "sub-02"]
    assert table["age"].isna().tolist() == [False, True]


def test_a_table_of_too_many_columns_is_refused(tmp_path):
    path = tmp_path / "wide.tsv"
    path.write_text("\n" + "\t".join(f"c{i}" for i in range(10_001)) + "\n")
    with pytest.raises(InputError, match="10001 columns; at most 10000 are read"):
        read_table(path)


@pytest.mark.parametrize("mark", [",", ";"])
def test_a_table_with_other_separators_is_named_as_such(tmp_path, mark):
    path = tmp_path / "participants.tsv"
    path.write_text(f"participant_id{mark}age\nsub-01{mark}40\n")
    with pytest.raises(InputError, match=f"columns are separated by '{mark}'; save it with tabs"):
        read_table(path)

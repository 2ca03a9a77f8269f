import pytest

from qsmengine.errors import InputError
from qsmengine.report.tsv import read_rows


def test_rows_are_text_by_column_and_cells_after_the_last_are_missing(tmp_path):
    path = tmp_path / "a_stats.tsv"
    path.write_bytes(b"\xef\xbb\xbfregion\tchi_mean\t'=x\r\n'=cmd\t\t-1\r\nputamen\r\n")
    assert read_rows(path, ("region",)) == [
        {"region": "=cmd", "chi_mean": "", "=x": "-1"},
        {"region": "putamen", "chi_mean": "n/a", "=x": "n/a"},
    ]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "region: no such column"),
        (b"name\n1\n", "region: no such column"),
        (b"region\na\tb\n", "row 2 has more cells than the header"),
        (b"region\n\xff\n", "not a tab-separated table"),
        (b'region\n"' + b"x" * 200_000, "not a tab-separated table"),
    ],
)
def test_a_broken_table_is_refused_by_name(tmp_path, content, what):
    path = tmp_path / "a_stats.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a_stats\.tsv: {what}"):
        read_rows(path, ("region",))


def test_a_missing_table_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "absent.tsv")
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path)

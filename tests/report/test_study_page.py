from typing import Any

import pytest

from qsmengine.errors import InputError
from qsmengine.report.scatter_matrix import scatter_matrix
from qsmengine.report.study_page import number, study_page


def write(path, *lines):
    path.write_text("\n".join("\t".join(line) for line in lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    head = ("table", "row", "column", "kind", "published", "value", "agrees")
    rows = [
        ("2", "chi <thalamus>", "MS mean", "estimate", "-26.8", "-25.123456", "yes"),
        ("2", "chi <thalamus>", "p MS vs HC", "p", "<.001", "0.00002", "yes"),
        ("2", "NBV", "MS mean", "estimate", "1467.8", "n/a", "no"),
    ]
    write(tmp_path / "cells.tsv", head, *rows)
    shares = [(*row[:3], "0.85", "20") for row in rows]
    write(tmp_path / "recovery.tsv", ("table", "row", "column", "recovered", "n"), *shares)
    return tmp_path


def test_cells_are_shown_with_the_published_ones_and_names_are_escaped(folder):
    study_page(folder, folder / "index.html", "A title", "What was done")
    page = (folder / "index.html").read_text()
    assert "<b>-25.1</b>" in page
    assert "-26.8" in page
    assert "<b>&lt;.001</b>" in page
    assert "chi &lt;thalamus&gt;" in page
    assert "85 %" in page
    assert "2 of 3 cells of the first cohort agree" in page


def test_missing_tables_and_columns_are_named(folder):
    write(folder / "recovery.tsv", ("table", "row"), ("2", "NBV"))
    with pytest.raises(InputError, match=r"recovery\.tsv: column"):
        study_page(folder, folder / "index.html", "t", "s")
    (folder / "cells.tsv").unlink()
    with pytest.raises(InputError, match="no such file"):
        study_page(folder, folder / "index.html", "t", "s")


@pytest.mark.parametrize(("text", "shown"), [("0.123456", "0.123"), ("1467.83", "1467.8"), ("n/a", "-")])
def test_numbers_have_three_digits(text, shown):
    assert number(text) == shown


def test_scatter_matrix_needs_its_columns(tmp_path):
    write(tmp_path / "t.tsv", ("group", "x", "y"), *[("a", str(i), str(i * i % 7)) for i in range(9)])
    common: dict[str, Any] = {"outcomes": ["y"], "groups": {"a": "#112233"}}
    scatter_matrix(tmp_path / "t.tsv", tmp_path / "t.png", "T", predictors=[("x",)], **common)
    first = (tmp_path / "t.png").read_bytes()
    scatter_matrix(tmp_path / "t.tsv", tmp_path / "t.png", "T", predictors=[("x",)], **common)
    assert (tmp_path / "t.png").read_bytes() == first
    with pytest.raises(InputError, match="z: no such column"):
        scatter_matrix(tmp_path / "t.tsv", tmp_path / "t.png", "T", predictors=[("z",)], **common)

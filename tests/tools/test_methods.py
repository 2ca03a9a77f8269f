import pytest

from qsmengine.errors import UsageError
from qsmengine.pipeline.configuration.config import preset_names
from qsmengine.pipeline.configuration.presets import PRESETS
from qsmengine.stages.registry import all_methods
from tools import methods
from tools.preset_table import BEGIN, END, preset_table, with_table


def test_committed_pages_are_what_registry_and_presets_say(capsys):
    assert methods.main(["--check"]) == 0, capsys.readouterr().err


def test_a_page_that_differs_fails_the_check_and_is_mended_without_it(tmp_path, monkeypatch, capsys):
    pages = {"METHODS_PAGE": tmp_path / "methods.md", "PRESETS_PAGE": tmp_path / "presets.md"}
    pages["PRESETS_PAGE"].write_text(f"words\n{BEGIN}\nold\n{END}\nmore")
    monkeypatch.setattr(methods, "ROOT", tmp_path)
    for name, path in pages.items():
        monkeypatch.setattr(methods, name, path)
    assert methods.main(["--check"]) == 1
    assert "methods.md is out of date" in capsys.readouterr().err
    assert not pages["METHODS_PAGE"].exists()
    assert methods.main([]) == 0
    assert methods.main(["--check"]) == 0
    text = pages["PRESETS_PAGE"].read_text()
    assert text.startswith("words")
    assert text.endswith("more")
    assert "old" not in text


def test_methods_page_tells_every_method_parameter_and_source():
    page = methods.methods_page()
    for method in all_methods():
        _, _, part = page.partition(f"### {method.stage} / {method.name}\n")
        part = part.partition("\n### ")[0]
        assert f"https://doi.org/{method.doi}" in part
        for name, field in method.params.model_fields.items():
            assert f"| `{field.alias or name}` |" in part
            assert str(field.description).replace("|", "\\|") in part


def test_table_names_the_methods_of_every_preset():
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in preset_table().splitlines()]
    for column, name in enumerate(preset_names(), start=1):
        assert rows[0][column] == name
        tree = PRESETS[name]
        for row in rows[2:]:
            entry = tree.get(row[0].replace(" ", "_"))
            assert ("none" if entry is None else f"`{entry['method']}`") in row[column]


def test_presets_page_without_its_marks_is_refused():
    with pytest.raises(UsageError, match="methods per preset"):
        with_table("no marks")

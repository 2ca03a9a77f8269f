"""YAML that users write, and what is refused of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsmengine.errors import InputError, QsmengineError
from qsmengine.io.yaml_text import YamlError, parse_yaml, read_yaml
from qsmengine.pipeline.configuration.config import load_config

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, 2.5, true, null]", {"a": 1, "b": ["x", 2.5, True, None]}),
        ("date: 2026-11-28", {"date": "2026-11-28"}),
        ("when: 2026-11-28 10:00:00", {"when": "2026-11-28 10:00:00"}),
        ("x: &x {a: 1}\ny: *x", {"x": {"a": 1}, "y": {"a": 1}}),
        ("", None),
    ],
)
def test_plain_values_are_read_and_dates_are_text(text, value):
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "aliases repeat too much"),
        ("a: &a [*a]", "contains itself"),
        ("[" * 60 + "]" * 60, "nested"),
        ("[" * 5000, "nested|expected"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: !!binary QQ==", "could not determine a constructor"),
        ("a: !!timestamp 2026-11-28", "could not determine a constructor"),
        ("a: b: c", "mapping values"),
        ("a: 1\n---\nb: 2", "single document"),
        ("\x00", "special characters"),
    ],
)
def test_anything_else_is_refused_in_one_line(text, message):
    with pytest.raises(YamlError, match=message) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_files_are_named(tmp_path):
    path = tmp_path / "c.yaml"
    for content, message in ((b"\xff", "not UTF-8"), (b"a: [", "not YAML"), (b"#" * (1 << 21), "larger than")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"c\.yaml: .*{message}"):
            read_yaml(path)
    with pytest.raises(InputError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")


@settings(deadline=None)
@given(text=st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#\n 1.,?%@~"), max_size=60))
def test_no_text_ends_in_another_error(text):
    try:
        parse_yaml(text)
    except YamlError:
        return


@settings(deadline=None)
@given(value=st.text(max_size=30))
def test_no_setting_ends_in_another_error(value):
    try:
        load_config(settings=[f"inversion.lambda={value}"])
    except QsmengineError:
        return

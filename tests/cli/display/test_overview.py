"""The help of `qsmengine` itself: what it lists, how it is laid out, and what it costs to print."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest
import typer

from qsmengine.cli.app import app
from qsmengine.cli.display.overview import OPTIONS, overview
from qsmengine.cli.lazy import CONTEXT
from qsmengine.cli.listing import COMMANDS, DESCRIPTION
from qsmengine.cli.main import main


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def _words(text):
    """Words of a page without lines of boxes."""
    return " ".join(re.sub(r"[│╭╮╰╯─|+]", " ", text).split())


def test_every_command_and_option_is_explained_in_full():
    words = _words(overview())
    assert DESCRIPTION in words
    for name, entry in COMMANDS.items():
        assert f" {name} {entry.summary}" in words.replace("─", "")
    assert all(f"{name} {text}" in words for name, text in OPTIONS.items())


def test_listed_options_are_those_of_the_command_line():
    group = typer.main.get_command(app)
    declared = {", ".join(p.opts): vars(p)["help"] for p in group.params}
    with group.make_context("qsmengine", [], resilient_parsing=True) as context:
        shown = group.get_help_option(context)
    names = ", ".join(reversed(CONTEXT["help_option_names"]))
    assert declared | {names: vars(shown)["help"]} == OPTIONS


@pytest.mark.parametrize("width", [48, 57, 80, 200])
def test_lines_of_the_boxes_are_as_wide_as_the_terminal(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = overview().splitlines()
    assert {len(line) for line in lines if line.startswith(("│", "╭", "╰"))} == {width}
    assert max(map(len, lines)) <= width


def test_colours_go_to_terminals_that_want_them(monkeypatch):
    monkeypatch.setattr(sys, "stdout", _Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = overview()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = overview()
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


def test_boxes_are_drawn_with_what_the_output_can_encode(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert overview().isascii()


def test_the_process_prints_what_the_parser_prints_and_imports_no_parser(capsys):
    assert main(["--help"]) == 0
    expected = capsys.readouterr().out
    code = (
        "import sys; sys.argv[1:] = ['--help']; from qsmengine.__main__ import run; code = run();"
        "assert not {'typer', 'rich', 'qsmengine.cli.main'} & set(sys.modules); sys.exit(code)"
    )
    command = [sys.executable, "-X", "utf8", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected.strip()

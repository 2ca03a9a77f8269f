"""Commands that are imported when they are invoked."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

from qsmengine.cli.lazy import load_command
from qsmengine.cli.listing import COMMANDS
from qsmengine.cli.main import main


@pytest.mark.parametrize("name", COMMANDS)
def test_a_summary_is_the_first_paragraph_of_the_commands_docstring(name):
    paragraph = inspect.getdoc(COMMANDS[name].function).split("\n\n")[0]
    assert COMMANDS[name].summary == " ".join(paragraph.split())


def test_help_imports_no_command():
    code = (
        "import sys; from qsmengine.cli.main import main; main(['--help']);"
        "assert not [m for m in sys.modules if m.startswith(('qsmengine.cli.commands.', 'qsmengine.cli.demo'))]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_denoising_imports_no_yaml():
    code = (
        "import sys; import qsmengine.cli.commands.denoise, qsmengine.sessions.denoising;"
        "import qsmengine.pipeline.configuration.config; assert 'yaml' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_command_imports_no_other_command():
    code = (
        "import sys; from qsmengine.cli.main import main; main(['dti', '--help']);"
        "found = {m for m in sys.modules if m.startswith('qsmengine.cli.commands.')};"
        "assert found == {'qsmengine.cli.commands.dti'}, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_prints_units_and_defaults_in_brackets(name, capsys):
    written = {part for p in load_command(name).params for part in re.findall(r"\[[^][]+\]", p.help or "")}
    assert main([name, "--help"]) == 0
    printed = re.sub(r"[\s│]+", "", capsys.readouterr().out)
    assert {part for part in written if re.sub(r"\s+", "", part) not in printed} == set()

"""Plain command lines give the values that typer gives, and start without it; others are left to typer."""

from __future__ import annotations

import subprocess
import sys
from functools import wraps
from importlib import import_module

import pytest

from qsmengine.cli.app import app
from qsmengine.cli.listing import COMMANDS
from qsmengine.cli.options.multi_value import spread
from qsmengine.cli.plain import NotPlainError, parse_plain
from qsmengine.errors import UsageError

PLAIN = (
    "dti --dwi a.nii -o out/dti --fit iwls --device cpu --threads 2 --quiet",
    "dti -k a.nii -o x --no-check --names bids --max-memory 2.5 --shells 1000 --set denoise.method=mppca b=1",
    "vfa --magnitude a.nii b.nii --out o --flip-angles 5 20 --repetition-times 0.02 --method nonlinear -v",
    "qsm -m a.nii -p b.nii -o o --echo-times 0.004 0.02 --field-strength 3 --force",
)
OTHERS = (
    "dti",
    "dti --help",
    "dti --dwi a.nii --out x --nonsense",
    "dti --dwi a.nii --dwi b.nii --out x",
    "dti --dwi a.nii --out",
    "dti --dwi a.nii --out x extra",
    "dti --dwi=a.nii --out x",
    "dti --dwi a.nii --out x --names other",
    "dti --dwi a.nii --out x --threads two",
    "dti --dwi a.nii --out x --max-memory nan",
    "dti --dwi a.nii --out -x",
    "denoise a.nii --out o",
)


def by_typer(line, monkeypatch):
    """Values that a command receives from typer."""
    arguments = spread(line.split(), COMMANDS)
    module = import_module(COMMANDS[arguments[0]].module)
    name, received = module.__name__.rpartition(".")[2], []

    @wraps(getattr(module, name))
    def record(**values):
        received.append(values)

    monkeypatch.setattr(module, name, record)
    app(arguments, standalone_mode=False)
    monkeypatch.undo()
    return received[0]


@pytest.mark.parametrize("line", PLAIN)
def test_values_are_those_of_typer(line, monkeypatch):
    expected = by_typer(line, monkeypatch)
    command, *arguments = spread(line.split(), COMMANDS)
    found = parse_plain(COMMANDS[command].function, arguments)
    assert {name: value or None for name, value in found.items()} == {
        name: value or None for name, value in expected.items()
    }
    assert {n: type(v) for n, v in found.items() if v} == {n: type(v) for n, v in expected.items() if v}


@pytest.mark.parametrize("line", OTHERS)
def test_other_lines_are_left_to_typer(line):
    command, *arguments = spread(line.split(), COMMANDS)
    with pytest.raises(NotPlainError):
        parse_plain(COMMANDS[command].function, arguments)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_asked(command):
    with pytest.raises(NotPlainError):
        parse_plain(COMMANDS[command].function, ["--nonsense"])


def test_bounds_hold():
    with pytest.raises(UsageError, match="--threads 0: must be between 1 and 4096"):
        parse_plain(COMMANDS["dti"].function, ["--dwi", "a", "--out", "b", "--threads", "0"])


def test_a_plain_line_starts_without_typer_and_pydantic(tmp_path):
    code = (
        "import sys\n"
        "from qsmengine.cli.main import main\n"
        f"code = main(['dti', '--dwi', {str(tmp_path / 'absent.nii')!r}, '--out', {str(tmp_path / 'o')!r}])\n"
        "assert not {'typer', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "absent.nii" in done.stderr

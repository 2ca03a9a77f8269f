"""Every numeric option of every command refuses absurd numbers before it reads anything."""

import pytest

from qsmengine.cli.bids.app import main as bids_main
from qsmengine.cli.bids.arguments import ARGUMENTS
from qsmengine.cli.lazy import load_command
from qsmengine.cli.listing import COMMANDS
from qsmengine.cli.main import main

NUMBERS_AS_TEXT = {"S...", "S,...", "MM...", "X Y Z", "B,...", "N,...", "N,N,...", "SIZE"}
"""Metavars of options whose text is one number or several."""
ABSURD = ("nan", "inf", "-inf", "-1e300", "1e300", "9" * 40, "9" * 5000, "1e999", "0x10", "")


def typed(parameter):
    descriptor = parameter.type_descriptor
    return None if descriptor is None else descriptor.annotation


def numeric_options():
    for name in COMMANDS:
        for parameter in load_command(name).params:
            if parameter.opts[0].startswith("-") and (
                typed(parameter) in {int, float} or parameter.metavar in NUMBERS_AS_TEXT
            ):
                yield name, parameter.opts[0]


def required_values(name, option):
    """Values for all that the command requires; none of the files exists."""
    values: list[str] = []
    for parameter in load_command(name).params:
        if parameter.required and option not in parameter.opts:
            kind = typed(parameter)
            value = next(iter(kind)).value if hasattr(kind, "__members__") else "absent"
            values += [value] if not parameter.opts[0].startswith("-") else [f"{parameter.opts[0]}={value}"]
    return values


@pytest.mark.parametrize(("name", "option"), list(numeric_options()))
def test_absurd_numbers_are_refused_before_anything_is_read(name, option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for value in ABSURD:
        code = main([name, *required_values(name, option), f"{option}={value}"])
        text = capsys.readouterr().err
        assert code == 2, (value, text)
        assert option in text
        assert "Traceback" not in text
        assert "unexpected" not in text
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "argument", [a for a in ARGUMENTS if a.kind in {"integer", "number"}], ids=lambda a: a.name
)
def test_bids_app_refuses_absurd_numbers(argument, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for value in ABSURD:
        code = bids_main(["absent", "out", "participant", f"{argument.flags[0]}={value}"])
        text = capsys.readouterr().err
        assert code == 2, (value, text)
        assert argument.flags[0] in text
        assert "Traceback" not in text
        assert list(tmp_path.iterdir()) == []


def test_numbers_within_the_bounds_pass(tmp_path, capsys):
    code = main(["qsm", "-m", "absent.nii", "-p", "absent.nii", "-o", str(tmp_path / "o"), "--threads", "1",
                 "--field-strength", "0.05", "--echo-times", "0.02", "0.004"])  # fmt: skip
    assert code == 3
    assert "absent.nii" in capsys.readouterr().err

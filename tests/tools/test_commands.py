import pytest

from tools.__main__ import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_tool_explains_its_options(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert f"python -m tools {name}" in capsys.readouterr().out


def test_tools_are_listed_and_an_unknown_one_is_refused(capsys):
    assert main([]) == 0
    listing = capsys.readouterr().out
    assert all(name in listing for name in COMMANDS)
    assert main(["metods"]) == 2
    assert "'metods'" in capsys.readouterr().err

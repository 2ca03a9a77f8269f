"""Options that take several values: ``--phase a b c`` becomes ``--phase a --phase b --phase c``."""

from __future__ import annotations

from collections.abc import Sequence

_FILES = {
    "qsm": {"--magnitude", "-m", "--phase", "-p", "--real", "--imag", "--echo-times"},
}
_PAIRS = {
    "qsm": {"--set"},
    "dti": {"--set"},
    "qsm-ci": {"--set"},
    "stage": {"--input", "-i", "--output", "-o", "--unit", "--set"},
    "regions": {"--map", "--unit"},
}
"""Options of NAME=VALUE: what has no equals sign after them is not theirs."""


def spread(arguments: Sequence[str]) -> list[str]:
    """Repeat the option before each further value of options that take several."""
    command = next((a for a in arguments if not a.startswith("-")), "")
    files, pairs = _FILES.get(command, set()), _PAIRS.get(command, set())
    done: list[str] = []
    option, values = "", 0
    for argument in arguments:
        if argument.startswith("-"):
            option, values = argument if argument in files | pairs else "", 0
        elif option:
            values += 1
            if option in pairs and values > 1 and "=" not in argument:
                option = ""
            elif values > 1:
                done.append(option)
        done.append(argument)
    return done

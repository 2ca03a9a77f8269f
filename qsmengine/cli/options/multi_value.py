"""Options that take several values: ``--phase a b c`` becomes ``--phase a --phase b --phase c``."""

from __future__ import annotations

from collections.abc import Sequence

_FILES = {
    "qsm": {"--magnitude", "-m", "--phase", "-p", "--real", "--imag", "--echo-times"},
    "phantom": {"--voxel-size", "--echo-times", "--b0-direction", "--modality", "--feature"},
}
_PAIRS = {
    "qsm": {"--set"},
    "dti": {"--set"},
    "denoise": {"--set"},
    "qsm-ci": {"--set"},
    "stage": {"--input", "-i", "--output", "-o", "--unit", "--set"},
    "regions": {"--map", "--unit"},
}
"""Options with NAME=VALUE values: a following argument without an equals sign is not one of their values."""


def spread(arguments: Sequence[str]) -> list[str]:
    """Insert the option before each additional value of options that take several."""
    command = next((a for a in arguments if not a.startswith("-")), "")
    files, pairs = _FILES.get(command, set()), _PAIRS.get(command, set())
    done: list[str] = []
    option, values = "", 0
    for argument in arguments:
        if argument.startswith("-") and not _is_number(argument):
            option, values = argument if argument in files | pairs else "", 0
        elif option:
            values += 1
            if option in pairs and values > 1 and "=" not in argument:
                option = ""
            elif values > 1:
                done.append(option)
        done.append(argument)
    return done


def _is_number(argument: str) -> bool:
    try:
        float(argument)
    except ValueError:
        return False
    return True

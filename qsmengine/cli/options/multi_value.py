"""Options that take several values: ``--phase a b c`` becomes ``--phase a --phase b --phase c``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qsmengine.modalities.command import Command


def spread(arguments: Sequence[str], commands: Mapping[str, Command]) -> list[str]:
    """Insert the option before each additional value of options that take several."""
    command = commands.get(next((a for a in arguments if not a.startswith("-")), ""))
    several, pairs = (set(), set()) if command is None else (set(command.several), set(command.pairs))
    done: list[str] = []
    option, values = "", 0
    for argument in arguments:
        if argument.startswith("-") and not _is_number(argument):
            option, values = argument if argument in several | pairs else "", 0
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

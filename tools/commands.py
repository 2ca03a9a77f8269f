"""The command reference of the site, from the declarations of the two commands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qsmengine.cli.bids.arguments import ARGUMENTS, Argument
from qsmengine.cli.lazy import load_command
from qsmengine.cli.listing import COMMANDS
from tools.markdown import table

HEAD = """\
# Commands

`qsmengine COMMAND --help` prints the same text. Options whose value is shown with dots take several values
after one name (`--phase e1.nii.gz e2.nii.gz`). Exit codes: 0 done, 1 failed, 2 usage or configuration,
3 invalid input, 4 environment (GPU, memory or a package is missing), 130 interrupted.
"""
OPTION_HEAD = ("option", "value", "default", "meaning")


def commands_page() -> str:
    """Return the page: every subcommand of qsmengine, then qsmengine-bids."""
    parts = [HEAD, *(_command(name, load_command(name)) for name in COMMANDS), _bids_app()]
    return "\n".join(parts)


def _command(name: str, command: Any) -> str:
    text = "\n".join(line.strip() for line in command.help.splitlines())
    shown = [parameter for parameter in command.params if not parameter.hidden]
    return f"## qsmengine {name}\n\n{_plain(text)}\n\n" + table(OPTION_HEAD, [_row(p) for p in shown])


def _row(parameter: Any) -> list[str]:
    is_argument = not parameter.opts[0].startswith("-")
    value = parameter.metavar or parameter.name.upper()
    names = [value] if is_argument else [*parameter.opts, *parameter.secondary_opts]
    required = " (required)" if parameter.required and not is_argument else ""
    return [
        "<br>".join(f"`{name}`" for name in names),
        "" if is_argument or parameter.is_flag else f"`{value}`",
        _default(parameter.default),
        _plain(parameter.help or "") + required,
    ]


def _default(value: Any) -> str:
    if value is None or isinstance(value, bool) or callable(value) or value in ((), []):
        return ""
    if isinstance(value, Path):
        return f"`{value.as_posix()}`"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return f"`{' '.join(map(str, value))}`"
    return f"`{value}`"


def _bids_app() -> str:
    rows = [_argument(argument) for argument in ARGUMENTS]
    return "## qsmengine-bids\n\nThe BIDS App. See [Cohorts](cohort.md).\n\n" + table(OPTION_HEAD, rows)


def _argument(argument: Argument) -> list[str]:
    value = "" if argument.kind == "flag" else f"`{argument.kind}{'...' if argument.several else ''}`"
    allowed = f" ({', '.join(argument.choices)})" if argument.choices else ""
    names = argument.flags or (argument.name,)
    return [
        "<br>".join(f"`{name}`" for name in names),
        value,
        _default(argument.default),
        _plain(argument.help) + allowed,
    ]


def _plain(text: str) -> str:
    """Keep asterisks (R2*), underscores and angle brackets from being read as Markdown."""
    return re.sub(r"([*_<>])", r"\\\1", text)

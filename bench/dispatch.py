"""The command line of a package of commands, one module each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module

from qsmengine.errors import QsmengineError


def dispatch(package: str, commands: Mapping[str, str], usage: str | None, argv: list[str]) -> int:
    """Run ``main`` of the module that `argv` names; return its exit code.

    Parameters
    ----------
    package
        Package of the modules.
    commands
        Name -> one line of help; dashes in a name are underscores in its module's.
    usage
        Text above the list of commands.
    argv
        Name, then the arguments of its ``main``.
    """
    if not argv or argv[0] in {"-h", "--help"}:
        width = max(map(len, commands))
        print(usage, *(f"  {name:{width}} {text}" for name, text in commands.items()), sep="\n")
        return 0
    if argv[0] not in commands:
        print(f"{package}: unknown command {argv[0]!r}: {', '.join(commands)}", file=sys.stderr)
        return 2
    try:
        result: int | None = import_module(f"{package}.{argv[0].replace('-', '_')}").main(argv[1:])
    except QsmengineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return result or 0

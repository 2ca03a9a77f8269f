"""Declaration of a command, read by the help and by the parser without importing the command."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple


class Command(NamedTuple):
    """Command of ``qsmengine``.

    Parameters
    ----------
    name
        Name on the command line.
    module
        Module with the typed function, which is named like the module.
    summary
        Line in the list of commands: the first paragraph of the function's docstring.
    several
        Options that take several values: ``--phase a b c``.
    pairs
        Options that take several NAME=VALUE values; a following argument without an equals sign is not one.
    """

    name: str
    module: str
    summary: str
    several: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()

    @property
    def function(self) -> Any:
        """Import the typed function."""
        return getattr(import_module(self.module), self.module.rpartition(".")[2])

"""Commands of ``qsmengine``, imported only when they are invoked."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from qsmengine.cli.display.overview import overview
from qsmengine.cli.listing import COMMANDS
from qsmengine.cli.options.declared import for_typer

CONTEXT = {"help_option_names": ["-h", "--help"]}


class LazyGroup(TyperGroup):
    """Command group of `COMMANDS`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: TyperCommand(name, help=command.summary) for name, command in COMMANDS.items()}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command called `cmd_name`."""
        listed = super().get_command(ctx, cmd_name)
        return listed if listed is None else load_command(cmd_name)

    def format_help(self, _ctx: Any, _formatter: Any) -> None:
        """Print the help without importing the commands."""
        typer.echo(overview(), nl=False)


class Command(TyperCommand):
    """Command whose help texts are not markup: the unit of "echo times [s]" is printed."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        for option in self.params:
            if text := getattr(option, "help", None):
                option.help = re.sub(r"\[(?=[a-z/#@])", r"\[", text)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def load_command(name: str) -> Any:
    """Import a command and build it from its options."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=CONTEXT)
    alone.command(name, cls=Command)(for_typer(COMMANDS[name].function))
    return typer.main.get_command(alone)

"""The commands as a typer application, for every command line that is not plain."""

from __future__ import annotations

from typing import Annotated

import typer

from qsmengine.cli.lazy import CONTEXT, LazyGroup
from qsmengine.cli.listing import DESCRIPTION, VERSION

app = typer.Typer(
    name="qsmengine",
    help=DESCRIPTION,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
    cls=LazyGroup,
)


def _print_version(value: bool) -> None:
    if value:
        from qsmengine.cli.commands.doctor import version_line

        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help=VERSION, callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Quantitative susceptibility mapping, relaxometry, diffusion and perfusion on GPU and CPU."""

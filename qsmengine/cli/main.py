"""The ``qsmengine`` command: its subcommands and error handling.

Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 invalid input; 4 environment (GPU requested but
absent, too little memory, missing package); 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from qsmengine.cli.display.reporter import print_error
from qsmengine.cli.lazy import CONTEXT, LazyGroup
from qsmengine.cli.listing import COMMANDS, DESCRIPTION, VERSION
from qsmengine.cli.options.multi_value import spread
from qsmengine.errors import describe

INTERRUPTED = 130

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code. Expected errors become one message on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    log_json = "--log-json" in arguments
    try:
        code = int(app(spread(arguments, COMMANDS), prog_name="qsmengine", standalone_mode=False) or 0)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001
        if {"-v", "--verbose"} & set(arguments):
            traceback.print_exception(error)
        message, code = describe(error)
        if message.startswith("unexpected "):
            message += " (run with -v for the traceback)"
        if message:
            print_error(message, log_json=log_json)
        return code
    if code == INTERRUPTED:
        print_error("interrupted", log_json=log_json)
    return code

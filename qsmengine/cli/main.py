"""The ``qsmengine`` command: its subcommands and error handling.

Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 invalid input; 4 environment (GPU requested but
absent, too little memory, missing package); 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from qsmengine.cli.display.reporter import print_error
from qsmengine.cli.listing import COMMANDS
from qsmengine.cli.options.multi_value import spread
from qsmengine.cli.plain import plain_call
from qsmengine.errors import describe

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code. Expected errors become one message on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    log_json = "--log-json" in arguments
    try:
        code = int(_run(spread(arguments, COMMANDS)) or 0)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001
        if {"-v", "--verbose"} & set(arguments):
            import traceback

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


def _run(arguments: list[str]) -> Any:
    call = plain_call(arguments)
    if call is not None:
        return call()
    from qsmengine.cli.app import app

    return app(arguments, prog_name="qsmengine", standalone_mode=False)

"""`python -m tools NAME [options]`; `python -m tools NAME --help` lists the options of one."""

from __future__ import annotations

import sys
from importlib import import_module

from qsmengine.errors import QsmengineError

COMMANDS = {
    "methods": "docs/methods.md and the table in docs/presets.md, from the registry and the presets",
    "gallery": "run every preset on real data, check the maps, and draw them into docs/images/",
    "diffusion-pictures": "the pictures of docs/diffusion.md",
    "tutorial": "run the commands of docs/tutorial.md and draw its pictures",
    "boutiques": "docker/boutiques.json, from the arguments of qsmengine-bids",
    "submissions": "a QSM-CI submission folder per method, from the registry",
}


def main(argv: list[str]) -> int:
    if not argv or argv[0] in {"-h", "--help"}:
        print(__doc__, *(f"  {name:18} {text}" for name, text in COMMANDS.items()), sep="\n")
        return 0
    if argv[0] not in COMMANDS:
        print(f"unknown tool {argv[0]!r}: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        result: int | None = import_module(f"tools.{argv[0].replace('-', '_')}").main(argv[1:])
    except QsmengineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return result or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

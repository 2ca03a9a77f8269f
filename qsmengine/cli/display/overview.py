"""The help of ``qsmengine`` itself, written without Typer and Rich, whose imports take longer than the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from textwrap import wrap

from qsmengine.cli.listing import COMMANDS, DESCRIPTION, VERSION

OPTIONS = {"--version": VERSION, "--help, -h": "Show this message and exit."}
_BOX = tuple("\u256d\u2500\u256e\u2502\u2570\u256f")
_PLAIN = tuple("+-+|++")
_NAME, _DIM, _HEAD, _END = "\x1b[1;36m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
_NARROWEST = 48


def overview() -> str:
    """Usage, options and commands, as wide as the terminal; in colour where it shows any."""
    width, colour = max(_width(), _NARROWEST), _shows_colour()
    lines = ["", *_usage(width, colour=colour), ""]
    for title, entries in (("Options", OPTIONS), ("Commands", {n: e.summary for n, e in COMMANDS.items()})):
        lines += _panel(title, entries.items(), width, colour=colour)
    return "\n".join(lines) + "\n\n"


def _usage(width: int, *, colour: bool) -> Iterator[str]:
    yield _painted(" Usage:", _HEAD, on=colour) + " qsmengine [OPTIONS] COMMAND [ARGS]..."
    yield ""
    yield from wrap(DESCRIPTION, width - 1, initial_indent=" ", subsequent_indent=" ")


def _panel(title: str, entries: Iterable[tuple[str, str]], width: int, *, colour: bool) -> Iterator[str]:
    """A box with a name and its explanation in two columns."""
    left, line, right, side, low_left, low_right = _BOX if _shows_boxes() else _PLAIN
    rows = list(entries)
    column = max(len(name) for name, _ in rows)
    edge = _painted(side, _DIM, on=colour)
    yield _painted(f"{left}{line} {title} ".ljust(width - 1, line) + right, _DIM, on=colour)
    for name, text in rows:
        for i, part in enumerate(wrap(text, width - column - 6)):
            shown = _painted(name, _NAME, on=colour) + " " * (column - len(name)) if i == 0 else " " * column
            yield f"{edge} {shown}  {part.ljust(width - column - 6)} {edge}"
    yield _painted(low_left + line * (width - 2) + low_right, _DIM, on=colour)


def _painted(text: str, style: str, *, on: bool) -> str:
    return f"{style}{text}{_END}" if on else text


def _width() -> int:
    """Columns of the terminal; 80 where there is none."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit():
        return int(given)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _shows_colour() -> bool:
    """Whether standard output is a terminal that shows colours."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _shows_boxes() -> bool:
    """Whether standard output can encode the lines of a box."""
    try:
        "".join(_BOX).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True

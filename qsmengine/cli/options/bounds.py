"""Bounds of numeric options, checked while the command line is parsed and before any file is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from qsmengine.cli.options.parsers import parse_numbers
from qsmengine.errors import InputError, UsageError

LONGEST = 40
"""Number of characters of a refused value that are printed."""


class Bounds(NamedTuple):
    """Smallest and largest value of an option."""

    least: float
    most: float

    def check(self, option: str, value: float) -> None:
        """Raise UsageError naming the option unless `value` is finite and within the bounds."""
        if not self.least <= value <= self.most:
            shown = str(value) if isinstance(value, float) or abs(value) < 10**LONGEST else "the given number"
            raise UsageError(f"{option} {shown}: must be between {self.least:g} and {self.most:g}")


THREADS = Bounds(1, 4096)
WORKERS = Bounds(0, 10_000)
SEED = Bounds(0, 2**63 - 1)
FIELD_STRENGTH = Bounds(0.001, 29.9)
"""[T]"""
ECHO_TIME = Bounds(1e-6, 1.0)
"""[s]"""
COUNT = Bounds(1, 100_000)


def bounded(least: float, most: float) -> Callable[[Any, Any], Any]:
    """Return the callback of an option whose number, or numbers separated by commas, have these bounds."""
    bounds = Bounds(least, most)

    def check(param: Any, value: Any) -> Any:
        for number in _numbers(param.opts[0], value):
            bounds.check(param.opts[0], number)
        return value

    return check


def echo_times(param: Any, value: Any) -> Any:
    """Check echo times [s] as given on the command line, in any order."""
    from qsmengine.data import check_echo_times

    times = _numbers(param.opts[0], value)
    try:
        if times:
            check_echo_times(tuple(sorted(times)))
    except InputError as error:
        raise UsageError(f"{param.opts[0]}: {error}") from None
    return value


def _numbers(option: str, value: Any) -> tuple[float, ...]:
    if isinstance(value, int | float):
        return (value,)
    texts = [value] if isinstance(value, str) else value or ()
    if any(len(part) > 300 for text in texts for part in text.replace(",", " ").split()):
        raise UsageError(f"{option}: a number has over 300 digits")
    numbers = parse_numbers(texts, option) or ()
    if texts and not numbers:
        raise UsageError(f"{option}: no number was given")
    return numbers

"""Exceptions of qsmengine, each with the exit code that the command line returns for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class QsmengineError(Exception):
    """Base class of expected errors, with one readable message and the exit code of the process."""

    exit_code = 1


class UsageError(QsmengineError):
    """Invalid command, option, preset or configuration value."""

    exit_code = 2


class InputError(QsmengineError):
    """File or array that cannot be used.

    Parameters
    ----------
    message
        Description of the problem, with the offending values.
    source
        File (or argument) that caused it; prefixed to the message.
    field
        Header or sidecar field that caused it.
    """

    exit_code = 3

    def __init__(self, message: str, *, source: object = None, field: str | None = None) -> None:
        self.message = message
        self.source = None if source is None else str(source)
        self.field = field
        prefix = "" if source is None else f"{source}: "
        infix = "" if field is None else f"{field}: "
        super().__init__(f"{prefix}{infix}{message}")

    def at(self, source: object) -> InputError:
        """Return the same error with the file named, for errors from a layer that does not know it."""
        return InputError(self.message, source=source, field=self.field)


@contextmanager
def naming(source: object) -> Iterator[None]:
    """Name a file in an InputError of the block that names none."""
    try:
        yield
    except InputError as error:
        if error.source is None:
            raise error.at(source) from error
        raise


class NumericalError(QsmengineError):
    """Computation with non-finite results, none of which are used or written."""


class DeviceError(QsmengineError):
    """Missing resource: a GPU, a driver, memory or an optional package."""

    exit_code = 4


class OutOfMemoryError(DeviceError):
    """Device with less memory than a step needs."""


def describe(error: Exception) -> tuple[str, int]:
    """Return a readable message, without traceback, and the exit code of any exception."""
    if isinstance(error, QsmengineError):
        return str(error), error.exit_code
    if hasattr(error, "format_message"):  # invalid options reported by typer; empty if it printed help
        message = error.format_message()
        return f"{message} (see --help)" if message else "", UsageError.exit_code
    if isinstance(error, MemoryError):
        return f"out of memory{f': {error}' if str(error) else ''}", DeviceError.exit_code
    if isinstance(error, ImportError):
        return f"{error}; a part of the installation is missing, see qsmengine doctor", DeviceError.exit_code
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", QsmengineError.exit_code
    return f"unexpected {type(error).__name__}: {error}", QsmengineError.exit_code


def shorten(names: Sequence[str]) -> str:
    """Return up to four names, and dots if there are more."""
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def nearest(name: str, known: Iterable[str], count: int = 1, *, cutoff: float = 0.5) -> list[str]:
    """Return up to `count` of the `known` names that resemble `name`, closest first, ignoring case."""
    from difflib import get_close_matches

    spelled = {text.lower(): text for text in sorted(known, reverse=True)}
    return [spelled[close] for close in get_close_matches(name.lower(), spelled, n=count, cutoff=cutoff)]

"""Exceptions of qsmengine, each with the exit code that the command line returns for it."""

from __future__ import annotations

from collections.abc import Iterable


class QsmengineError(Exception):
    """Base of every expected error: its text is one readable message; `exit_code` is the process's."""

    exit_code = 1


class UsageError(QsmengineError):
    """A command, option, preset or configuration value is wrong."""

    exit_code = 2


class InputError(QsmengineError):
    """A file or array cannot be used.

    Parameters
    ----------
    message
        What is wrong, with the offending values.
    source
        File (or argument) at fault; put in front of the message.
    field
        Header or sidecar field at fault.
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
        """Return the same error with the file at fault named, where a lower layer could not know it."""
        return InputError(self.message, source=source, field=self.field)


class NumericalError(QsmengineError):
    """A computation gave values that are not finite numbers; nothing of it is used or written."""


class DeviceError(QsmengineError):
    """The machine lacks what was asked for: a GPU, a driver, memory, an optional package."""

    exit_code = 4


class OutOfMemoryError(DeviceError):
    """A device has less memory than a step needs."""


def describe(error: Exception) -> tuple[str, int]:
    """Message and exit code of any exception: one readable text, never a traceback."""
    if isinstance(error, QsmengineError):
        return str(error), error.exit_code
    if hasattr(error, "format_message"):  # wrong options, as typer reports them; empty where it printed help
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


def nearest(name: str, known: Iterable[str], count: int = 1) -> list[str]:
    """Return at most `count` of the `known` names that resemble `name`, the closest first, in any case."""
    from difflib import get_close_matches

    spelled = {text.lower(): text for text in sorted(known, reverse=True)}
    return [spelled[close] for close in get_close_matches(name.lower(), spelled, n=count, cutoff=0.5)]

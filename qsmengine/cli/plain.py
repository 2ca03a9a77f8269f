"""Command lines that need no parser: known options, each given once, with values of the simplest form.

They are parsed from the declarations that typer reads. Whatever else a line contains - help, positional
arguments, an unknown or a repeated option, a value of another form - is left to typer, which also words all
errors.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from qsmengine.cli.listing import COMMANDS
from qsmengine.cli.options.declared import Option

_SHOWN = frozenset({"help", "metavar", "rich_help_panel"})
"""Settings of an option that do not change how it is parsed."""
_FORMS: Mapping[Any, tuple[str, Callable[[str], Any]]] = {
    str: (r"[^-].*", str),
    Path: (r"[^-].*", Path),
    int: (r"-?\d{1,9}", int),
    float: (r"-?\d{1,9}(\.\d{1,9})?(e-?\d{1,2})?", float),
}
"""Type -> form of a value, and how it is read."""


class NotPlainError(Exception):
    """The command line needs typer."""


class _Parameter(NamedTuple):
    option: Option
    kind: Any
    several: bool
    required: bool
    default: Any


def plain_call(arguments: Sequence[str]) -> Callable[[], Any] | None:
    """Return the call of a command for a plain command line; None if it needs typer.

    Raises
    ------
    UsageError
        For a value out of bounds, as the checks of the options raise it.
    """
    if not arguments or arguments[0] not in COMMANDS:
        return None
    function = COMMANDS[arguments[0]].function
    if "typer" in sys.modules:  # the command needs it anyway
        return None
    try:
        return partial(function, **parse_plain(function, arguments[1:]))
    except NotPlainError:
        return None


def parse_plain(function: Callable[..., Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the values of a command's parameters."""
    parameters = _parameters(function)
    names = {spelt: name for name, parameter in parameters.items() for spelt in _spellings(parameter.option)}
    given: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        spelt = rest.pop(0)
        if spelt not in names:
            raise NotPlainError
        name = names[spelt]
        parameter = parameters[name]
        if name in given and not parameter.several:
            raise NotPlainError
        if parameter.kind is bool:
            given[name] = spelt not in _negated(parameter.option)
        elif not rest:
            raise NotPlainError
        else:
            value = _read(parameter.kind, rest.pop(0))
            given[name] = [*given.get(name, ()), value] if parameter.several else value
    if any(parameter.required and name not in given for name, parameter in parameters.items()):
        raise NotPlainError
    return {
        name: _checked(parameter, given.get(name, parameter.default)) for name, parameter in parameters.items()
    }


def _parameters(function: Callable[..., Any]) -> dict[str, _Parameter]:
    hints = get_type_hints(function, include_extras=True)
    found = {}
    for name, declared in inspect.signature(function).parameters.items():
        metadata: tuple[Any, ...] = getattr(hints[name], "__metadata__", ())
        if len(metadata) != 1 or type(metadata[0]) is not Option or not metadata[0].settings.keys() <= _SHOWN:
            raise NotPlainError
        kind: Any = hints[name].__origin__
        if get_origin(kind) in {Union, UnionType}:
            parts = [part for part in get_args(kind) if part is not NoneType]
            kind = parts[0] if len(parts) == 1 else None
        several = get_origin(kind) is list
        required = declared.default is inspect.Parameter.empty
        default = None if required else declared.default
        (one,) = get_args(kind) if several else (kind,)
        found[name] = _Parameter(metadata[0], one, several, required, default)
    return found


def _spellings(option: Option) -> list[str]:
    return [spelt for name in option.names for spelt in name.split("/")]


def _negated(option: Option) -> set[str]:
    return {name.partition("/")[2] for name in option.names}


def _read(kind: Any, text: str) -> Any:
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise NotPlainError
        return text
    if kind not in _FORMS:
        raise NotPlainError
    form, read = _FORMS[kind]
    if not re.fullmatch(form, text, re.ASCII):
        raise NotPlainError
    return read(text)


def _checked(parameter: _Parameter, value: Any) -> Any:
    check = parameter.option.callback
    return value if check is None else check(SimpleNamespace(opts=_spellings(parameter.option)), value)

"""Options and arguments as commands declare them, without typer, which takes longer to import than NumPy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_type_hints


class Option:
    """Arguments of :func:`typer.Option`, in the type of a parameter.

    A `callback` takes the option, whose names are ``opts``, and the value; it returns the value or raises.
    """

    kind = "Option"

    def __init__(self, *names: str, callback: Callable[[Any, Any], Any] | None = None, **settings: Any) -> None:
        self.names, self.callback, self.settings = names, callback, settings

    def built(self) -> Any:
        """Return typer's description of the parameter."""
        import typer

        more = {} if self.callback is None else {"callback": _typed(self.callback, typer.CallbackParam)}
        return getattr(typer, self.kind)(*self.names, **self.settings, **more)


class Argument(Option):
    """Arguments of :func:`typer.Argument`, in the type of a parameter."""

    kind = "Argument"


def for_typer(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose declared parameters typer understands."""

    @wraps(function)
    def call(**values: Any) -> Any:
        return function(**values)

    kinds = {name: _built(kind) for name, kind in get_type_hints(function, include_extras=True).items()}
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=kinds[name]) for name, p in signature.parameters.items()]
    call.__annotations__ = kinds
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call


def _built(kind: Any) -> Any:
    metadata = getattr(kind, "__metadata__", ())
    if not metadata:
        return kind
    return Annotated[(kind.__origin__, *(m.built() if isinstance(m, Option) else m for m in metadata))]


def _typed(callback: Callable[[Any, Any], Any], kind: Any) -> Callable[[Any, Any], Any]:
    """Return the callback with the types by which typer chooses what to pass."""

    def call(param: Any, value: Any) -> Any:
        return callback(param, value)

    call.__annotations__ = {"param": kind, "value": Any}
    return call

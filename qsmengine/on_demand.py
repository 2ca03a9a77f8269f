"""Public names of a package that are imported on first use, so that importing the package is fast (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names_on_demand(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for the module of `package`.

    Parameters
    ----------
    package
        Its ``__name__``.
    homes
        Public name -> module that defines it, relative to the package.
    """
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        namespace[name] = value
        return value

    return get, lambda: sorted({*namespace, *homes})


def later(module: str, name: str) -> Any:
    """Return a name of a module of the package that only needs to be there when it is used.

    A result can thus be drawn by the report, which results know nothing of.
    """
    return getattr(import_module(f"qsmengine.{module}"), name)

"""Modules whose functions are those of a NumPy or SciPy module."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from standin import api
from standin.functions import function


def lookup(place: str, name: str, library: ModuleType, found: dict[str, Any]) -> Any:
    """The attribute `name` of the module `place`, made from the one of `library`, and remembered.

    Raises
    ------
    AttributeError
        For a name that the real package does not have.
    NotImplementedError
        For one that the stand-in cannot offer.
    """
    api.require(place, name)
    if not hasattr(library, name):
        raise NotImplementedError(f"the stand-in has no {place}.{name}")
    theirs = getattr(library, name)
    plain = isinstance(theirs, type) or not callable(theirs)
    found[name] = theirs if plain else function(place, name, theirs)
    return found[name]

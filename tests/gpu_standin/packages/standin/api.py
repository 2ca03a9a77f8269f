"""Names, parameters and ufunc types of the real package, from the files of ``cupy_api.py``."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

RELEASE = os.environ.get("GPU_STANDIN_CUPY", "14")
"""The major version that the stand-in plays: 13 or 14."""

_CONTENT = json.loads((Path(__file__).parent / f"api{RELEASE}.json").read_text(encoding="utf-8"))
VERSION: str = _CONTENT["version"]
OPERATORS = frozenset(_CONTENT["operators"].split())


def has(place: str, name: str) -> bool:
    """Whether the module or class `place` of the real package has `name`."""
    return name in _CONTENT["names"][place]


def require(place: str, name: str) -> str:
    """The description of a name of the real package.

    Raises
    ------
    AttributeError
        For a name that the real package does not have.
    """
    try:
        description: str = _CONTENT["names"][place][name]
    except KeyError:
        raise AttributeError(f"{place!r} has no attribute {name!r}") from None
    return description


@cache
def loops(name: str) -> tuple[tuple[str, str], ...]:
    """Inputs and outputs of the loops of a ufunc, in the order in which CuPy looks through them."""
    described = require("cupy", name) if has("cupy", name) else ""
    pairs = [loop.partition("->") for loop in described[1:].split()] if described.startswith("u") else []
    return tuple((before, after) for before, _, after in pairs)


@cache
def _parameters(place: str, name: str) -> tuple[int | None, frozenset[str] | None]:
    """How many positional arguments a function takes, and which names; None where it takes any."""
    described = require(place, name)
    if not described.startswith("f"):
        return None, None
    words = [word.rstrip("=") for word in described[1:].split(",") if word]
    names = frozenset(word.lstrip("*") for word in words)
    before_star = next((k for k, word in enumerate(words) if word.startswith("*")), len(words))
    starred = any(re.match(r"\*\w", word) for word in words)
    return None if starred else before_star, None if any(w.startswith("**") for w in words) else names


def check_call(place: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse a call that the real function would refuse.

    Raises
    ------
    TypeError
        For an unknown keyword or too many positional arguments.
    """
    most, names = _parameters(place, name)
    if names is not None and not names.issuperset(kwargs):
        unknown = sorted(set(kwargs) - names)
        raise TypeError(f"{place}.{name}() got an unexpected keyword argument {unknown[0]!r}")
    if most is not None and len(args) > most:
        raise TypeError(f"{place}.{name}() takes {most} positional arguments but {len(args)} were given")

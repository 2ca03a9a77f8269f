"""Messages of configuration errors: the invalid key, the nearest known one, the given value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from qsmengine.errors import nearest


def near(name: str, known: Iterable[str]) -> str:
    """Quote `name` and add the nearest of the `known` names, or all of them."""
    names = tuple(known)
    close = nearest(name, names)
    return f"{name!r}; did you mean {close[0]}?" if close else f"{name!r} (known: {', '.join(names)})"


def explain(
    error: Any, tree: dict[str, Any], known_keys: Callable[[str | None, str | None], tuple[str, ...]]
) -> str:
    """Format a pydantic error as ``section.key: message``."""
    if not error["loc"]:
        return str(error["msg"])
    section, *rest = map(str, error["loc"])
    content = tree.get(section)
    method = content.get("method") if isinstance(content, dict) else None
    key = ".".join((section, *(part for part in rest if part != method)))
    kind = error["type"]
    if kind == "extra_forbidden" and not rest:
        return f"unknown section {near(section, known_keys(None, None))}"
    if kind == "extra_forbidden":
        return f"unknown key {key}; {_suggest(section, rest[-1], known_keys(section, method))}"
    if kind in {"union_tag_invalid", "literal_error"} and key in {section, f"{section}.method"}:
        return f"{section}.method: unknown method {near(str(method), _expected(error))}"
    if kind in {"union_tag_not_found", "missing"}:
        return f"{key if kind == 'missing' else section + '.method'} is missing"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message[:1].lower()}{message[1:]}, got {error['input']!r}"


def _suggest(section: str, name: str, known: tuple[str, ...]) -> str:
    close = nearest(name, known)
    if close:
        return f"did you mean {section}.{close[0]}?"
    return f"known there: {', '.join(known)}"


def _expected(error: Any) -> tuple[str, ...]:
    context = error.get("ctx", {})
    text = str(context.get("expected_tags") or context.get("expected", ""))
    return tuple(text.replace("'", "").replace(" or ", ", ").split(", "))

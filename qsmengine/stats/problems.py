"""All that is wrong with a design, told at once."""

from __future__ import annotations

from collections.abc import Iterable

from qsmengine.errors import InputError


def raise_problems(problems: Iterable[tuple[str, str]], headline: str, source: object) -> None:
    """Raise one InputError that lists `problems` (where, what), each once; nothing when there are none."""
    listed = list(dict.fromkeys(problems))
    if listed:
        width = max(len(where) for where, _ in listed)
        lines = [f"  {where:<{width}}  {what}" for where, what in listed]
        raise InputError(f"{headline}:\n" + "\n".join(lines), source=source)

"""Problems of a design, reported together, with the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

from qsmengine.errors import InputError, nearest


def raise_problems(problems: Iterable[tuple[str, str]], headline: str, source: object) -> None:
    """Raise one InputError that lists every distinct problem (where, what); return if there are none."""
    listed = list(dict.fromkeys(problems))
    if listed:
        width = max(len(where) for where, _ in listed)
        lines = [f"  {where:<{width}}  {what}" for where, what in listed]
        raise InputError(f"{headline}:\n" + "\n".join(lines), source=source)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `name` in quotes, followed by the closest of the `known` names if one is close."""
    close = nearest(name, known, cutoff=0.6)
    return f"{name!r} (did you mean {close[0]!r}?)" if close else repr(name)

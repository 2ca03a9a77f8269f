"""Small parsers of option values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

from qsmengine.errors import UsageError

_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTkmgt])(?:i?[Bb])?")


def parse_numbers(texts: Iterable[str] | None, option: str) -> tuple[float, ...] | None:
    """Parse numbers separated by commas or blanks; None gives None. Raises UsageError naming the option."""
    text = " ".join(texts or ())
    if not text:
        return None
    try:
        numbers = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise UsageError(f"{option} {text!r}: need numbers separated by commas") from None
    if not all(map(math.isfinite, numbers)):
        raise UsageError(f"{option} {text!r}: need finite numbers")
    return numbers


def parse_ranges(text: str | None, option: str) -> tuple[int, ...]:
    """Parse positive integers and ranges, such as ``3,40-42``. Raises UsageError naming the option."""
    spans: list[tuple[int, int]] = []
    if text is not None and not text.replace(",", " ").split():
        raise UsageError(f"{option}: no number was given")
    for part in (text or "").replace(",", " ").split():
        match = _RANGE.fullmatch(part)
        if match is None or not 1 <= int(match[1]) <= int(match[2] or match[1]):
            raise UsageError(f"{option} {text!r}: need numbers from 1, and ranges such as 40-42")
        spans.append((int(match[1]), int(match[2] or match[1])))
    numbers: list[int] = []
    for first, last in sorted(spans):
        numbers.extend(range(max(first, numbers[-1] + 1 if numbers else 1), last + 1))
    return tuple(numbers)


def parse_bytes(text: str | None, option: str) -> int | None:
    """Parse a size such as 48GB or 512MiB (powers of 1024) into bytes; None gives None.

    Raises
    ------
    UsageError
        For any other form; the message names the option.
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None or len(match[1]) > 15 or float(match[1]) <= 0:
        raise UsageError(f"{option} {text!r}: write a size such as 48GB or 512MB")
    return int(float(match[1]) * 1024 ** "KMGT".index(match[2].upper()) * 1024)


def parse_pairs(pairs: Iterable[str] | None, option: str) -> dict[str, str]:
    """Parse ``K=V`` pairs; raises UsageError naming the option for any other form or a repeated key."""
    found: dict[str, str] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise UsageError(f"{option} {pair!r}: write NAME=VALUE")
        if key in found:
            raise UsageError(f"{option}: {key} is given twice")
        found[key] = value
    return found


def parse_files(pairs: Iterable[str] | None, option: str) -> dict[str, Path]:
    """Parse ``K=FILE`` pairs."""
    return {key: Path(value) for key, value in parse_pairs(pairs, option).items()}


def parse_vector(values: tuple[float, ...], option: str) -> tuple[float, float, float]:
    """Return exactly three numbers; raises UsageError naming the option for any other count."""
    if len(values) != 3:
        raise UsageError(f"{option}: need three numbers, got {len(values)}")
    return values[0], values[1], values[2]

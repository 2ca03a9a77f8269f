"""A byte string as a source of decisions, so that one description serves Hypothesis and atheris."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Reads decisions from bytes; after the last byte every decision is the first option, 0 or False."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, count: int) -> int:
        """A whole number from 0 to count - 1."""
        width = max(1, ((count - 1).bit_length() + 7) // 8)
        taken = self._data[self._at : self._at + width]
        self._at += width
        return int.from_bytes(taken, "little") % count if count > 1 else 0

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def one_in(self, count: int) -> bool:
        return self.below(count) == count - 1

    def raw(self, most: int) -> bytes:
        """Up to `most` bytes as they are."""
        length = self.below(most + 1)
        taken = self._data[self._at : self._at + length]
        self._at += length
        return taken

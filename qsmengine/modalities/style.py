"""Appearance of a map on pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """Colour map, window (None: from the image) and unit of a kind of map; factor for the file's values."""

    colours: str
    window: tuple[float, float] | None
    unit: str
    factor: float = 1.0

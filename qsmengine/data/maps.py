"""Quantitative image."""

from __future__ import annotations

from qsmengine.data.checks import Array, check_shape
from qsmengine.grid import Grid
from qsmengine.records import record


@record
class Map:
    """Quantitative image: `array` (x, y, z[, component]) in `unit` on `grid`."""

    array: Array
    unit: str
    grid: Grid

    def __post_init__(self) -> None:
        check_shape("map", self.array, self.grid, self.array.ndim)

"""Raw images of a reconstruction, and pictures that its page makes from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

from qsmengine.grid import Grid
from qsmengine.io.bids import BidsFile
from qsmengine.modalities.style import Style
from qsmengine.records import record


@record
class RawSeries:
    """Raw images that a reconstruction was made from, and its results.

    Parameters
    ----------
    root, files
        Dataset, and images in it.
    settings
        Section ``input`` of the configuration.
    find
        Pattern of the ending of a derivative -> its file; None if there is none.
    """

    root: Path
    files: Sequence[BidsFile]
    settings: Mapping[str, Any]
    find: Callable[[str], Path | None]


@record
class Drawn:
    """Image for the page.

    Parameters
    ----------
    label, caption, style
        As those of a row.
    values, grid, mask
        (x, y, z[, volume]) in the unit of the style, its geometry, and the mask (x, y, z) to outline.
    measures
        Names of the quality measures that belong to it.
    below
        Second series (x, y, z, volume) shown below the first, with its style; None for a single image.
    names
        Names of the volumes of a series.
    """

    label: str
    caption: str
    style: Style
    values: npt.NDArray[Any]
    grid: Grid
    mask: npt.NDArray[Any]
    measures: tuple[str, ...] = ()
    below: tuple[npt.NDArray[Any], Style] | None = None
    names: tuple[str, ...] = ()


Pictures: TypeAlias = Callable[[RawSeries], list[Drawn]]

"""Figure of a result in memory, for notebooks: the rows of its modality's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid, Vector3
from qsmengine.io.bids import BidsName
from qsmengine.modalities.modality import Modality, Row
from qsmengine.modalities.registry import all_modalities
from qsmengine.report.canvas import png_bytes, write_png
from qsmengine.report.figures import draw_pictures
from qsmengine.report.frame import frame_of
from qsmengine.report.panels import STYLES, Picture, picture_of


@dataclass(frozen=True)
class Plot:
    """Figure that a notebook shows as a picture.

    Parameters
    ----------
    figure
        The figure of matplotlib.
    """

    figure: Figure

    def save(self, path: str | Path) -> None:
        """Write the figure as PNG.

        Raises
        ------
        InputError
            For a path that does not end in .png.
        """
        write_png(self.figure, path)

    def _repr_png_(self) -> bytes:
        return png_bytes(self.figure)


def plot_maps(
    units: Mapping[str, str],
    read: Callable[[str], npt.NDArray[Any]],
    grid: Grid,
    *,
    names: Sequence[str] | None = None,
    centre: Vector3 | None = None,
) -> Plot:
    """Return three planes of maps in memory: axial, coronal, sagittal, in the windows of the pages.

    Parameters
    ----------
    units
        Name of each map -> unit.
    read
        Name -> map (x, y, z) in the memory of the host.
    grid
        Geometry of the maps.
    names
        Maps to show; None: those that the pages show.
    centre
        Point through which the slices pass [mm], scanner coordinates; None: the centre of the mask.

    Raises
    ------
    UsageError
        For a name that is not among the maps, or is not an image (x, y, z).
    InputError
        If there is nothing to show, or the point lies outside the image.
    """
    modality = max(all_modalities(), key=lambda one: sum(name in units for name in _rows(one)))
    rows = _rows(modality)
    wanted = list(names) if names is not None else [name for name in rows if name in units]
    if not wanted:
        raise InputError("nothing to show: the result has none of the maps of a page")
    missing = next((name for name in wanted if name not in units), None)
    if missing is not None:
        raise UsageError(f"no map {missing!r}; there are {', '.join(units)}")
    mask = read("brain_mask") > 0 if "brain_mask" in units else np.ones(grid.shape, bool)
    pictures = [_picture(name, rows.get(name), units[name], read(name), grid, mask) for name in wanted]
    labels = [rows[name].label if name in rows else name for name in wanted]
    return Plot(draw_pictures(labels, pictures, frame_of(pictures, centre), modality.title))


def _rows(modality: Modality) -> dict[str, Row]:
    """Return the map of each row of a page, the first row of each map."""
    found: dict[str, Row] = {}
    for row in modality.rows:
        for product in modality.products:
            ending = BidsName(dict(product.entities), product.suffix, ".nii.gz").filename
            if not row.vectors and any(fnmatchcase(text, row.files) for text in (ending, f"model-_{ending}")):
                found.setdefault(product.map, row)
    return found


def _picture(
    name: str, row: Row | None, unit: str, values: npt.NDArray[Any], grid: Grid, mask: npt.NDArray[Any]
) -> Picture:
    if values.shape != grid.shape:
        raise UsageError(f"map {name!r} has shape {values.shape}; only images {grid.shape} are drawn")
    if row is None:
        return picture_of(values, grid, mask, STYLES["magnitude"], name, unit=unit)
    if row.half_ppm is not None:
        window = (-row.half_ppm, row.half_ppm)
        return picture_of(values, grid, mask, STYLES["field"], name, window=window)
    style = STYLES[row.style] if isinstance(row.style, str) else row.style
    return picture_of(values * np.float32(style.factor), grid, mask, style, name, window=row.window)

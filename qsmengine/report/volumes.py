"""Maps of a session as cropped int16 volumes inside a page."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.header import read_header
from qsmengine.io.nifti import read_image, write_image
from qsmengine.report.panels import Panel
from qsmengine.report.tsv import read_rows

MARGIN = 4
"""Voxels kept around the mask."""
LARGEST, STEPS = 32_000, 4_000
"""Largest stored integer, and steps from zero to the largest value of maps other than susceptibility."""
FEWEST = 3
"""Layers that are kept when a page would become too large; beyond these, later ones are left out first."""
STRIDES = (1, 2, 3, 4)
"""Voxels along each axis of which one is kept."""
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Layer:
    """A map as a gzip-compressed NIfTI image in base64.

    Parameters
    ----------
    label, unit, colours
        Name, unit of the values, and colour map.
    low, high
        Window [unit].
    step
        Unit per stored integer.
    data
        The image.
    names
        Label -> name, for region overlays.
    """

    label: str
    unit: str
    colours: str
    low: float
    high: float
    step: float
    data: str
    names: dict[str, str]

    @property
    def described(self) -> dict[str, Any]:
        """Return the description for the page's script, without the image."""
        return {name: value for name, value in vars(self).items() if name != "data"}


def layers_of(panels: Sequence[Panel], mask: Path | None, limit: int) -> tuple[list[Layer], list[str]]:
    """Return the maps of the panels as layers of at most `limit` bytes together, and notes.

    Each file appears once, cropped to the mask and `MARGIN` voxels. Susceptibility is stored in steps of 1 ppb,
    other maps in `STEPS` steps. If the layers are too large, those after the first `FEWEST` are
    left out; if these are still too large, every second voxel along each axis is kept, or one of `STRIDES`.

    Raises
    ------
    InputError
        For an image that cannot be read.
    """
    distinct = list({panel.path: panel for panel in reversed(panels)}.values())[::-1]
    for stride in STRIDES:
        made, size = list[Layer](), 0
        for panel in distinct:
            layer = _layer(panel, mask, stride)
            size += len(layer.data)
            if size > limit:
                break
            made.append(layer)
        if len(made) >= min(FEWEST, len(distinct)):
            break
    notes = [f"one voxel of {stride} along each axis is shown"] if stride > 1 and made else []
    left = [panel.label for panel in distinct[len(made) :]]
    return made, [
        *notes,
        *([f"left out because the page would be too large: {', '.join(left)}"] if left else []),
    ]


def overlay(path: Path, mask: Path | None) -> Layer:
    """Return a label image or a mask as an overlay; names are those of its BIDS table (.tsv).

    Images on the voxels of `mask` are cropped to it.

    Raises
    ------
    InputError
        For an image or table that cannot be read.
    """
    array, grid = read_image(path, dtype=np.float32)[:2]
    cropped = mask is not None and read_header(mask)[1].matches(grid)
    box = _box(mask if cropped else None, grid, path)
    names = {}
    table = path.with_name(path.name.removesuffix(".nii.gz") + ".tsv")
    if table.is_file():
        names = {row["index"]: row["name"] for row in read_rows(table, ("index", "name"))}
    data = _encoded(np.rint(np.nan_to_num(array[box])).astype(np.int16), grid.part(box))
    return Layer("regions" if names else "mask", "", "random" if names else "red", 0.0, 1.0, 1.0, data, names)


def _layer(panel: Panel, mask: Path | None, stride: int) -> Layer:
    array, grid = read_image(panel.path, dtype=np.float32)[:2]
    array = array[..., panel.volume] if array.ndim == 4 else array
    style = panel.style
    thousand = 1000.0 if style.unit == "ppm" else 1.0
    factor = panel.scale * style.factor * thousand
    box = _box(mask, grid, panel.path)
    values = np.nan_to_num(array[box][::stride, ::stride, ::stride].astype(np.float64) * factor)
    largest = float(np.abs(values).max(initial=0.0))
    step = 1.0 if style.unit == "ppm" else (largest or 1.0) / STEPS
    window = panel.window or style.window
    low, high = (thousand * edge for edge in window) if window else _automatic(values)
    stored = np.clip(np.rint(values / step), -LARGEST, LARGEST).astype(np.int16)
    unit = "ppb" if style.unit == "ppm" else style.unit
    data = _encoded(stored, grid.part([slice(side.start, side.stop, stride) for side in box]))
    return Layer(panel.label, unit, style.colours, low, high, step, data, {})


def _automatic(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return zero and the 99.5th percentile of the nonzero values."""
    shown = values[values != 0]
    return (0.0, float(np.percentile(shown, 99.5))) if shown.size and shown.max() > 0 else (-1.0, 1.0)


def _box(mask: Path | None, grid: Grid, source: Path) -> Box:
    """Return the box of the mask with its margin; the whole grid without a mask or with an empty one."""
    whole = tuple(slice(0, edge) for edge in grid.shape)
    if mask is None:
        return whole  # type: ignore[return-value]
    inside, own = read_image(mask, dtype=np.float32)[:2]
    check_same_grid(own, grid, mask, source)
    found = np.argwhere(inside > 0.5)
    if not len(found):
        return whole  # type: ignore[return-value]
    low, high = found.min(axis=0) - MARGIN, found.max(axis=0) + MARGIN + 1
    edges = zip(low, high, grid.shape, strict=True)
    first, second, third = (slice(max(0, int(a)), min(edge, int(b))) for a, b, edge in edges)
    return first, second, third


def _encoded(array: npt.NDArray[np.int16], grid: Grid) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.nii.gz"
        write_image(path, array, grid)
        return base64.b64encode(path.read_bytes()).decode("ascii")

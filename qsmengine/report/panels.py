"""Panels of an overview figure: file, window, colours and unit of a row, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.nifti import read_image
from qsmengine.modalities.style import Style

Floats: TypeAlias = npt.NDArray[np.float32]
Window: TypeAlias = tuple[float, float]


STYLES = {
    "magnitude": Style("gray", None, "a.u."),
    "phase": Style("gray", (-np.pi, np.pi), "rad"),
    "field": Style("gray", (-0.5, 0.5), "ppm"),
    "local_field": Style("gray", (-0.05, 0.05), "ppm"),
    "field_hz": Style("gray", (-100.0, 100.0), "Hz"),
    "chi": Style("gray", (-0.1, 0.1), "ppm"),
    "r2star": Style("inferno", (0.0, 60.0), "1/s"),
    "fa": Style("gray", (0.0, 1.0), ""),
    "diffusivity": Style("gray", (0.0, 3.0), "10\u207b\u00b3 mm\u00b2/s", 1e3),
    "colour_fa": Style("gray", (0.0, 1.0), ""),
    "difference": Style("RdBu_r", None, ""),
}
"""Style of each kind of map. A difference is shown symmetrically about zero, inside its mask only."""


@dataclass(frozen=True)
class Panel:
    """One row of an overview, read from disk.

    Parameters
    ----------
    path
        Image (x, y, z[, volume]).
    label
        Label in the figure.
    kind
        Key of STYLES, or a style.
    window, unit
        Replace the window and unit of the kind.
    scale
        Factor from the file's unit to that of the kind; 1 for files in mm^2/s and ppm.
    volume
        Index of the volume in a 4-D file.
    subtract
        Image to subtract, for difference maps.
    vectors
        For "colour_fa": principal direction (x, y, z, 3).
    vector_frame
        "fsl": along the array axes, x negated if the determinant of the affine is positive (dtifit);
        "world": scanner axes.
    mask, labels
        Images whose outlines are drawn.
    """

    path: Path
    label: str
    kind: str | Style
    window: Window | None = None
    unit: str | None = None
    scale: float = 1.0
    volume: int = 0
    subtract: Path | None = None
    vectors: Path | None = None
    vector_frame: Literal["fsl", "world"] = "fsl"
    mask: Path | None = None
    labels: Path | None = None

    def __post_init__(self) -> None:
        if isinstance(self.kind, str) and self.kind not in STYLES:
            raise UsageError(f"unknown kind of panel {self.kind!r}; known kinds: {', '.join(STYLES)}")
        if (self.kind == "colour_fa") != (self.vectors is not None):
            raise UsageError(f"panel {self.label!r}: only kind 'colour_fa' takes vectors, and it needs them")

    @property
    def style(self) -> Style:
        """Style of the panel's kind."""
        return STYLES[self.kind] if isinstance(self.kind, str) else self.kind


@dataclass(frozen=True)
class Picture:
    """A panel in memory: `values` (x, y, z) or colours (x, y, z, 3) along axes nearest to R, A, S.

    `mask` and `labels` (x, y, z) are outlined; `source` is named in errors.
    """

    values: Floats
    mask: npt.NDArray[np.bool_] | None
    affine: npt.NDArray[np.float64]
    window: Window
    unit: str
    colours: str
    source: str | Path
    labels: npt.NDArray[np.float32] | None = None

    @property
    def voxel_size(self) -> npt.NDArray[np.float64]:
        """Edge lengths of a voxel [mm] along the picture's axes."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    def without_labels(self) -> Picture:
        """Return the picture without the outlines of labels."""
        return replace(self, labels=None)


def load_picture(panel: Panel) -> Picture:
    """Read the files of a panel and reorient them to the axes closest to right, anterior, superior.

    Raises
    ------
    InputError
        When a file cannot be read, is not on the grid of the panel's image or has no such volume, or when
        the image has no finite value.
    """
    style = panel.style
    values, grid = _read_volume(panel.path, panel.volume)
    if panel.subtract is not None:
        values = values - _read_like(panel.subtract, grid, panel)
    values = values * np.float32(panel.scale * style.factor)
    if not np.isfinite(values).any():
        raise InputError("no finite value to show", source=panel.path)
    mask = None if panel.mask is None else _read_like(panel.mask, grid, panel) > 0.5
    if panel.kind == "difference" and mask is not None:
        values = np.where(mask, values, np.float32(np.nan))
    window = panel.window or style.window or _automatic_window(values, symmetric=panel.kind == "difference")
    if panel.vectors is not None:
        values = _direction_colours(panel, panel.vectors, grid, values, window)
    labels = None if panel.labels is None else np.rint(_read_like(panel.labels, grid, panel))
    unit = style.unit if panel.unit is None else panel.unit
    picture = Picture(values, mask, grid.affine, window, unit, style.colours, panel.path, labels)
    return _turned(picture)


def picture_of(
    values: npt.NDArray[Any],
    grid: Grid,
    mask: npt.NDArray[Any],
    style: Style,
    source: str | Path,
    *,
    window: Window | None = None,
    unit: str | None = None,
) -> Picture:
    """Return a picture of an image (x, y, z) and its mask in memory.

    `window` and `unit` replace those of the style; `source` is named in errors.
    """
    values = np.asarray(values, dtype=np.float32)
    limits = window or style.window or _automatic_window(values, symmetric=False)
    unit = style.unit if unit is None else unit
    return _turned(Picture(values, mask > 0, grid.affine, limits, unit, style.colours, source))


def _turned(picture: Picture) -> Picture:
    """Return the picture along the axes closest to right, anterior, superior."""
    values, affine = to_ras(picture.values, picture.affine)
    mask, labels = (
        None if image is None else to_ras(image, picture.affine)[0] for image in (picture.mask, picture.labels)
    )
    return replace(picture, values=values, affine=affine, mask=mask, labels=labels)


def to_ras(
    array: npt.NDArray[Any], affine: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Permute and flip the first three axes so that they are closest to right, anterior, superior.

    Returns
    -------
    The array and its affine [mm]; every voxel keeps its position in world coordinates.
    """
    rotation = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    orders = [(i, j, k) for i in range(3) for j in range(3) for k in range(3) if {i, j, k} == {0, 1, 2}]
    order = max(orders, key=lambda o: sum(abs(rotation[axis, o[axis]]) for axis in range(3)))
    turned = np.moveaxis(array, order, (0, 1, 2))
    matrix = affine[:, [*order, 3]].copy()
    for axis in range(3):
        if rotation[axis, order[axis]] < 0:
            turned = np.flip(turned, axis)
            matrix[:3, 3] += matrix[:3, axis] * (turned.shape[axis] - 1)
            matrix[:3, axis] *= -1.0
    return turned, matrix


def _read_volume(path: Path, volume: int) -> tuple[Floats, Grid]:
    array, grid = read_image(path, dtype=np.float32)[:2]
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4 or not 0 <= volume < array.shape[3]:
        raise InputError(f"no volume {volume} in shape {array.shape}", source=path, field="dim")
    return np.asarray(array[..., volume], dtype=np.float32), grid


def _read_like(path: Path, grid: Grid, panel: Panel) -> Floats:
    array, own = _read_volume(path, 0)
    check_same_grid(own, grid, path, panel.path)
    return array


def _automatic_window(values: Floats, *, symmetric: bool) -> Window:
    """Return the 1st and 99.5th percentile of the finite nonzero values."""
    shown = values[np.isfinite(values) & (values != 0)]
    if shown.size == 0:
        return (-1.0, 1.0) if symmetric else (0.0, 1.0)
    if symmetric:
        limit = float(np.percentile(np.abs(shown), 99))
        return -limit, limit
    low, high = (float(v) for v in np.percentile(shown, (1.0, 99.5)))
    return (min(low, 0.0), high) if high > min(low, 0.0) else (low - 1.0, low + 1.0)


def _direction_colours(panel: Panel, vector_path: Path, grid: Grid, values: Floats, window: Window) -> Floats:
    """Return red, green, blue for left-right, anterior-posterior, inferior-superior, scaled by `values`."""
    vectors, own = read_image(vector_path, dtype=np.float32)[:2]
    if vectors.shape != (*grid.shape, 3) or not own.matches(grid):
        raise InputError(
            f"shape {vectors.shape}, need {(*grid.shape, 3)} on the grid of {panel.path}", source=vector_path
        )
    rotation = np.eye(3)
    if panel.vector_frame == "fsl":
        rotation = grid.affine[:3, :3] / np.asarray(grid.voxel_size)
        rotation = rotation * np.array([-1.0 if grid.handedness > 0 else 1.0, 1.0, 1.0])
    world = np.abs(np.einsum("ij,xyzj->xyzi", rotation.astype(np.float32), vectors))
    low, high = window
    brightness = np.clip((values - low) / (high - low), 0.0, 1.0)
    colours = np.nan_to_num(world * brightness[..., np.newaxis])
    return np.asarray(np.clip(colours, 0.0, 1.0), dtype=np.float32)

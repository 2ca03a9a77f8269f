"""Picture of one map: three planes with orientation marks, scale bar, and colour bar."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.grid import Vector3
from qsmengine.io.sidecars import read_sidecar
from qsmengine.modalities.modality import Row
from qsmengine.modalities.registry import all_modalities
from qsmengine.modalities.style import Style
from qsmengine.report.canvas import write_png
from qsmengine.report.figures import draw_planes
from qsmengine.report.frame import frame_of
from qsmengine.report.panels import Panel, Window, load_picture


def view(
    image: str | Path,
    path: str | Path,
    *,
    window: Window | None = None,
    volume: int = 0,
    centre: Vector3 | None = None,
) -> None:
    """Write a PNG with an axial, a coronal and a sagittal slice of an image.

    Maps of the engine are shown as on the pages of sessions, other images in grey between their 1st and 99.5th
    percentile. The patient's right is on the left.

    Parameters
    ----------
    image
        Image (x, y, z[, volume]).
    path
        File to write, ending in .png.
    window
        Limits of the grey values, in the unit of the picture; None: those of the map.
    volume
        Index of the volume, counted from 0.
    centre
        Point through which the slices pass [mm], scanner coordinates; None: the centre of the image.

    Raises
    ------
    InputError
        If the image cannot be read or shown, the point lies outside it, or the window is empty.
    """
    image = Path(image)
    if window is not None and not window[0] < window[1]:
        raise InputError(f"the window {window[0]:g} to {window[1]:g} is empty", field="window")
    row = row_of(image.name)
    kind = Style("gray", None, read_sidecar(image).text("Units") or "") if row is None else row.style
    limits = window or (None if row is None else row.window)
    picture = load_picture(Panel(image, image.name, kind, window=limits, volume=volume))
    write_png(draw_planes(image.name, picture, frame_of([picture], centre)), path)


def row_of(name: str) -> Row | None:
    """Return the first row of a modality that shows a file of this name; None if none does."""
    rows = (row for modality in all_modalities() for row in modality.rows)
    shown = (row for row in rows if not row.vectors and row.half_ppm is None)
    return next(
        (row for row in shown if fnmatchcase(name, row.files) or fnmatchcase(name, f"*_{row.files}")), None
    )

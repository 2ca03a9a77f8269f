"""Appearance of maps and curves on pages."""

from __future__ import annotations

from qsmengine.records import record


@record
class Style:
    """Colour map, window (None: from the image) and unit of a kind of map; factor for the file's values."""

    colours: str
    window: tuple[float, float] | None
    unit: str
    factor: float = 1.0


@record
class Curve:
    """Curve over time on a session's page, with the voxels it was measured in.

    Parameters
    ----------
    files
        Ending of its table, a glob pattern; the first two columns are time [s] and value.
    label, unit
        Of the value.
    voxels, under
        Endings of the mask of its voxels, and of the image over which these are shown.
    second, second_label
        Further column, drawn on its axis at the right, and its label; "" for none.
    caption, measures
        What is shown and what a good one looks like, and the quality measures that belong to it.
    """

    files: str
    label: str
    unit: str
    voxels: str = ""
    under: str = ""
    second: str = ""
    second_label: str = ""
    caption: str = ""
    measures: tuple[str, ...] = ()

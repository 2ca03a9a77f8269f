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
class VolumeChart:
    """Chart of the volumes of a series on a session's page: slices of each volume, and curves below them.

    Parameters
    ----------
    files, slices
        Endings of the tables with a row per volume (column ``volume``), and per slice of a volume (columns
        ``volume`` and ``slice``), glob patterns; slices count from 1.
    label, unit
        Title, and unit of the values of the slices.
    value, mark
        Columns of the second table: value, and whether the slice is marked (0 or 1).
    colours, limit
        Colour map, and largest value shown in either direction.
    strip, strip_label
        Column of the first table shown as shades of grey above the slices, and its label.
    curve, curve_label, second, second_label
        Columns of the first table drawn as curves, on axes at the left and right, and their labels with units.
    caption, measures
        What is shown and what a good one looks like, and the quality measures that belong to it.
    """

    files: str
    slices: str
    label: str
    unit: str
    value: str
    mark: str
    colours: str
    limit: float
    strip: str
    strip_label: str
    curve: str
    curve_label: str
    second: str
    second_label: str
    caption: str = ""
    measures: tuple[str, ...] = ()


@record
class Curve:
    """Curve over time on a session's page, with the voxels it was measured in.

    Parameters
    ----------
    files
        Ending of its table, a glob pattern; the first column is the time [s].
    label, unit
        Of the value.
    value
        Column of the value; "" for the second. A table without it has no such curve.
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
    value: str = ""
    voxels: str = ""
    under: str = ""
    second: str = ""
    second_label: str = ""
    caption: str = ""
    measures: tuple[str, ...] = ()

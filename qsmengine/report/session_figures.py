"""Figures of a session's page: pictures of the raw images, rows of maps, and curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from qsmengine.errors import InputError
from qsmengine.io.header import read_header
from qsmengine.io.sidecars import read_json
from qsmengine.modalities.modality import Row
from qsmengine.modalities.quality import Light, Measure
from qsmengine.modalities.raw import Drawn
from qsmengine.modalities.registry import description_of, modality_of
from qsmengine.modalities.style import Curve, VolumeChart
from qsmengine.report.curves import CurvePanel, draw_curve
from qsmengine.report.figures import draw_planes
from qsmengine.report.frame import Frame, frame_of
from qsmengine.report.mosaics import draw_echoes, draw_lightbox
from qsmengine.report.pages import embedded, measured
from qsmengine.report.panels import Panel, Picture, load_picture, picture_of
from qsmengine.report.quality import SeriesQuality
from qsmengine.report.raw import raw_series
from qsmengine.report.records import ReconstructedSeries
from qsmengine.report.tsv import read_rows
from qsmengine.report.volume_chart import draw_volumes
from qsmengine.units import hz_per_ppm


class Chip(NamedTuple):
    """Quality measure under a figure: name, value with its unit, light, definition."""

    label: str
    value: str
    light: Light | None
    description: str


@dataclass(frozen=True)
class Shown:
    """Figure on the page.

    Parameters
    ----------
    picture, alt, caption
        The figure, a text in its place, and its caption.
    chips
        Quality measures that belong to it.
    bare
        Figure that it changes places with: the same one without outlines, or another image; "" for none.
    switch, toggled
        What pointing at the figure shows, and what focus switches.
    """

    picture: str
    alt: str
    caption: str
    chips: Sequence[Chip] = ()
    bare: str = ""
    switch: str = "it with and without outlines"
    toggled: str = "them on and off"


def figures_of(
    series: ReconstructedSeries, title: str, out: Path, quality: SeriesQuality | None
) -> tuple[list[Shown], str]:
    """Return the figures of a reconstruction, and why those of its raw images are missing ("" if not).

    Raises
    ------
    InputError
        If there is no map, or an image cannot be read or shown.
    """
    rows = rows_of(series)
    pictures = [load_picture(panel) for _, panel in rows]
    frame = frame_of(pictures)
    drawn, missing = list[Drawn](), ""
    try:
        drawn = drawn_of(series, out)
    except InputError as error:
        missing = f"no pictures of the raw images: {error}"
    shown = [
        *(_drawn(one, frame, title, out, quality) for one in drawn),
        *(
            _row(row, picture, _other(series, row), frame, title, quality)
            for (row, _), picture in zip(rows, pictures, strict=True)
        ),
    ]
    shown += [
        Shown(
            embedded(draw_curve(panel, title)),
            f"{panel.label} over time, {title}",
            curve.caption or f"{panel.label}.",
            chips_of(quality, curve.measures),
        )
        for curve, panel in curves_of(series)
    ]
    shown += [_chart(*found, title, quality) for found in charts_of(series)]
    return shown, missing


def _chart(chart: VolumeChart, volumes: Path, slices: Path, title: str, quality: SeriesQuality | None) -> Shown:
    """Return the figure of a series of volumes."""
    figure = embedded(draw_volumes(chart, volumes, slices, title))
    alt = f"{chart.label}, with {chart.curve_label} and {chart.second_label} of each volume, {title}"
    return Shown(figure, alt, chart.caption, chips_of(quality, chart.measures))


def _other(series: ReconstructedSeries, row: Row) -> Picture | None:
    """Return the image that changes places with that of a row; None if there is none."""
    path = series.find(row.flicker) if row.flicker else None
    return None if path is None else load_picture(Panel(path, row.flicker_label, row.style))


def _row(
    row: Row, picture: Picture, other: Picture | None, frame: Frame, title: str, quality: SeriesQuality | None
) -> Shown:
    """Return the figure of a map; with labels or another image, a second figure that it changes places with."""
    alt = f"axial, coronal and sagittal slices of {row.label}, {title}"
    chips = chips_of(quality, row.measures)
    if row.layout == "lightbox":
        alt = f"axial slices of {row.label}, {title}"
        return Shown(embedded(draw_lightbox(row.label, picture, frame)), alt, row.caption, chips)
    drawn = embedded(draw_planes(row.label, picture, frame, row.layout))
    if other is not None:
        second = embedded(draw_planes(row.flicker_label, other, frame, row.layout))
        alt = f"axial, coronal and sagittal slices of {row.label} and {row.flicker_label}, {title}"
        return Shown(
            drawn, alt, row.caption, chips, second, f"the {row.flicker_label} in its place", "between them"
        )
    if picture.labels is None:
        return Shown(drawn, alt, row.caption, chips)
    bare = embedded(draw_planes(row.label, picture.without_labels(), frame, row.layout))
    return Shown(drawn, f"{alt}, with outlines", row.caption, chips, bare)


def _drawn(one: Drawn, frame: Frame, title: str, out: Path, quality: SeriesQuality | None) -> Shown:
    """Return the figure of a picture that the modality made from raw images."""
    chips = chips_of(quality, one.measures)
    if one.below is None:
        picture = picture_of(one.values, one.grid, one.mask, one.style, out)
        alt = f"axial, coronal and sagittal slices of {one.label}, {title}"
        return Shown(embedded(draw_planes(one.label, picture, frame)), alt, one.caption, chips)
    below, style = one.below
    rows = [
        [picture_of(volumes[..., k], one.grid, one.mask, kind, out) for k in range(volumes.shape[-1])]
        for volumes, kind in ((one.values, one.style), (below, style))
    ]
    figure = draw_echoes(one.label, rows, one.names, frame)
    return Shown(embedded(figure), f"axial slices of {one.label}, {title}", one.caption, chips)


def drawn_of(series: ReconstructedSeries, out: Path) -> list[Drawn]:
    """Return the pictures of the raw images; none where these are not there.

    Raises
    ------
    InputError
        For raw images that cannot be read or do not fit the maps.
    """
    modality = modality_of(series.kind)
    raw = None if modality is None or modality.pictures is None else raw_series(out, series)
    if modality is None or modality.pictures is None or raw is None:
        return []
    return modality.pictures(raw)


def chips_of(quality: SeriesQuality | None, names: Sequence[str]) -> list[Chip]:
    """Return the measures of these names that the quality table has."""
    if quality is None or not names:
        return []
    known = {measure.name: measure for measure in quality.measures}
    return [_chip(known[name], value) for name in names if (value := quality.values.get(name)) is not None]


def _chip(measure: Measure, value: float | str) -> Chip:
    unit = "" if measure.unit in {"", "1"} else f" {measure.unit}"
    return Chip(measure.label, measured(value) + unit, measure.light(value), measure.description)


def panels_of(series: ReconstructedSeries) -> list[Panel]:
    """Return the panels of the maps that are there."""
    return [panel for _, panel in rows_of(series)]


def rows_of(series: ReconstructedSeries) -> list[tuple[Row, Panel]]:
    """Return the rows of the modality whose maps are there, with their panels."""
    described = description_of(series.kind)
    rows = () if described is None else described.rows
    return [(row, panel) for row in rows if (panel := _panel(series, row)) is not None]


def curves_of(series: ReconstructedSeries) -> Iterator[tuple[Curve, CurvePanel]]:
    """Yield the curves of the modality whose tables are there."""
    modality = modality_of(series.kind)
    for curve in () if modality is None else modality.curves:
        table = series.find(curve.files)
        if table is not None and curve.value and curve.value not in (read_rows(table) or [{}])[0]:
            continue
        voxels, under = (series.find(name) if name else None for name in (curve.voxels, curve.under))
        if table is not None:
            further = curve.second, curve.second_label
            yield curve, CurvePanel(table, curve.label, curve.unit, voxels, under, *further, curve.value)


def charts_of(series: ReconstructedSeries) -> Iterator[tuple[VolumeChart, Path, Path]]:
    """Yield the charts of volumes of the modality whose tables are there, with these tables."""
    modality = modality_of(series.kind)
    for chart in () if modality is None else modality.charts:
        volumes, slices = series.find(chart.files), series.find(chart.slices)
        if volumes is not None and slices is not None:
            yield chart, volumes, slices


def _panel(series: ReconstructedSeries, row: Row) -> Panel | None:
    path = series.find(row.files)
    vectors = series.find(row.vectors) if row.vectors else None
    if path is None or (row.vectors and vectors is None):
        return None
    window = row.window
    if row.half_ppm is not None:
        limit = row.half_ppm * hz_per_ppm(_field_strength(path))
        window = (-limit, limit)
    mask = series.find(row.mask) if row.mask else None
    labels = series.find(row.outlines) if row.outlines else None
    labels = labels if labels is not None and _on_one_grid(path, labels) else None
    return Panel(path, row.label, row.style, window=window, mask=mask, vectors=vectors, labels=labels)


def _on_one_grid(image: Path, labels: Path) -> bool:
    """Return whether two images have the same voxels."""
    return read_header(image)[1].matches(read_header(labels)[1])


def _field_strength(image: Path) -> float:
    """Return the field strength [T] from the sidecar; 3 T, which only sets the window, if it is missing."""
    try:
        value = read_json(image.with_name(image.name.removesuffix(".nii.gz") + ".json"))
        return float(value["MagneticFieldStrength"])
    except (InputError, KeyError, TypeError, ValueError):
        return 3.0

"""Overview figures: three orthogonal slices of every map through one point, in radiological orientation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from qsmengine.errors import InputError
from qsmengine.grid import Vector3
from qsmengine.report.canvas import new_figure, text_style, write_png
from qsmengine.report.panels import Panel, Picture, load_picture

Floats: TypeAlias = npt.NDArray[np.float64]

VIEWS = (
    ("axial", 2, (0, 1), ("R", "L", "A", "P")),
    ("coronal", 1, (0, 2), ("R", "L", "S", "I")),
    ("sagittal", 0, (1, 2), ("A", "P", "S", "I")),
)
"""Name, axis across, axes shown (horizontal, vertical), letters at left, right, top, bottom."""

ROW_HEIGHT = 2.3
MARGIN = 5.0
LEFT, RIGHT, TOP, BOTTOM, GAP = 0.30, 0.95, 0.62, 0.10, 0.06
WHITE, GREY, BLACK, OUTLINE = "#f2f2f2", "#9a9a9a", "#000000", "#ffd43b"
EDGE = [withStroke(linewidth=1.5, foreground=BLACK)]


def overview(panels: Sequence[Panel], path: str | Path, title: str, *, centre: Vector3 | None = None) -> None:
    """Write a PNG with a row per panel: axial, coronal and sagittal slices and a colour bar.

    The patient's right is on the left of the axial and coronal slices, anterior on the left of the
    sagittal ones. All rows show the same box in millimetres about the same point. Slices are the voxel
    planes nearest to that point, along the axes of each image; nothing is interpolated.

    Parameters
    ----------
    panels
        Rows, from top to bottom.
    path
        File to write, ending in .png.
    title
        Title of the figure.
    centre
        Point through which the slices pass [mm], scanner coordinates (RAS+). None: the centre of the first
        mask, or of the first image if there is no mask.

    Raises
    ------
    InputError
        When there is no panel, an image cannot be read or shown, or the point lies outside an image.
    """
    write_png(draw_overview(panels, title, centre=centre), path)


def draw_overview(panels: Sequence[Panel], title: str, *, centre: Vector3 | None = None) -> Figure:
    """Return the figure that :func:`overview` writes; same parameters and errors."""
    pictures, voxels, box, point = _prepared(panels, centre)
    layout = _Layout.around(box, len(panels))
    figure = new_figure(layout.width, layout.height, BLACK)
    _headline(figure, title, point, layout)
    for row, (panel, picture, voxel) in enumerate(zip(panels, pictures, voxels, strict=True)):
        bottom = layout.height - TOP - (row + 1) * (ROW_HEIGHT + GAP) + GAP
        _draw_row(figure, layout, bottom, panel.label, picture, voxel, box)
    return figure


def draw_rows(panels: Sequence[Panel], *, centre: Vector3 | None = None) -> Iterator[Figure]:
    """Yield a figure per panel, each a row of the overview; same parameters and errors."""
    pictures, voxels, box, point = _prepared(panels, centre)
    layout = _Layout.around(box, 1)
    for panel, picture, voxel in zip(panels, pictures, voxels, strict=True):
        figure = new_figure(layout.width, layout.height, BLACK)
        _headline(figure, panel.label, point, layout)
        _draw_row(figure, layout, BOTTOM, "", picture, voxel, box)
        _draw_scale(figure, layout, float(np.ptp(box[0])))
        yield figure


def _draw_scale(figure: Figure, layout: _Layout, extent: float) -> None:
    """Draw a bar of 1, 2 or 5 times a power of ten [mm], at most a third of the first slice's `extent` [mm]."""
    power = 10.0 ** np.floor(np.log10(extent / 3))
    length = max(step * power for step in (1, 2, 5) if step * power <= extent / 3)
    (x0, y), (x1, _) = (layout.at(x, 0.06) for x in (LEFT, LEFT + layout.columns[0] * length / extent))
    figure.add_artist(Line2D([x0, x1], [y, y], color=WHITE, linewidth=1.5))
    x, _ = layout.at(0.05, 0.0)
    figure.text(x1 + x, y, f"{length:g} mm", **text_style(7, WHITE, ha="left", va="center"))


def _prepared(
    panels: Sequence[Panel], centre: Vector3 | None
) -> tuple[list[Picture], list[npt.NDArray[np.intp]], Floats, Floats]:
    """Return the pictures of panels, their voxel at the point, the box that they share, and the point."""
    if not panels:
        raise InputError("nothing to show in the overview")
    pictures = [load_picture(panel) for panel in panels]
    point = np.asarray(_default_centre(pictures) if centre is None else centre, dtype=np.float64)
    voxels = [_voxel(picture, point, panel) for picture, panel in zip(pictures, panels, strict=True)]
    return pictures, voxels, _shared_box(pictures, voxels), point


@dataclass(frozen=True)
class _Layout:
    """Size of the figure and widths of its three columns [inch]."""

    width: float
    height: float
    columns: tuple[float, ...]

    @classmethod
    def around(cls, box: Floats, n_rows: int) -> _Layout:
        """Return the layout of `n_rows` rows of slices through a `box` (3, 2) [mm], all at one scale."""
        extents = np.ptp(box, axis=1)
        scale = ROW_HEIGHT / max(float(extents[axes[1]]) for _, _, axes, _ in VIEWS)
        columns = tuple(float(extents[axes[0]]) * scale for _, _, axes, _ in VIEWS)
        return cls(LEFT + sum(columns) + 3 * GAP + RIGHT, TOP + n_rows * (ROW_HEIGHT + GAP) + BOTTOM, columns)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Convert a position in inches from the lower left corner to fractions of the figure."""
        return x / self.width, y / self.height


def _draw_row(
    figure: Figure,
    layout: _Layout,
    bottom: float,
    label: str,
    picture: Picture,
    voxel: npt.NDArray[np.intp],
    box: Floats,
) -> None:
    """Draw label, slices and colour key of one panel; the top row also gets the names of the views."""
    x, y = layout.at(0.5 * LEFT, bottom + ROW_HEIGHT / 2)
    figure.text(x, y, label, **text_style(9, WHITE, rotation=90, ha="center", va="center"))
    left, images = LEFT, []
    for view, span in zip(VIEWS, layout.columns, strict=True):
        axes = _axes(figure, layout, (left, bottom, span, ROW_HEIGHT))
        images.append(_draw_slice(axes, picture, voxel, box, view))
        if bottom + 2 * ROW_HEIGHT > layout.height:
            x, y = layout.at(left + span / 2, bottom + ROW_HEIGHT + 0.03)
            figure.text(x, y, view[0], **text_style(8, GREY, ha="center", va="bottom"))
        left += span + GAP
    key = _axes(figure, layout, (left + 0.06, bottom + 0.15 * ROW_HEIGHT, 0.11, 0.7 * ROW_HEIGHT))
    _draw_key(key, figure, images[-1], picture)


def _headline(figure: Figure, title: str, point: Floats, layout: _Layout) -> None:
    x, y = layout.at(LEFT, layout.height - 0.14)
    figure.text(x, y, title, **text_style(11, WHITE, ha="left", va="top", weight="bold"))
    where = ", ".join(str(round(float(v))) for v in point)
    x, y = layout.at(LEFT, layout.height - 0.34)
    note = f"through ({where}) mm, patient right on the left"
    figure.text(x, y, note, **text_style(7, GREY, ha="left", va="top"))


def _axes(figure: Figure, layout: _Layout, inches: tuple[float, float, float, float]) -> Axes:
    axes = figure.add_axes((*layout.at(*inches[:2]), *layout.at(*inches[2:])))
    axes.set_facecolor(BLACK)
    return axes


def _draw_slice(axes: Axes, picture: Picture, voxel: npt.NDArray[np.intp], box: Floats, view: Any) -> AxesImage:
    """Draw one slice with outline and letters; coordinates are mm from the point along the image axes."""
    _, across, (horizontal, vertical), letters = view
    size = picture.voxel_size
    edges = [
        ((-0.5 - voxel[a]) * size[a], (picture.values.shape[a] - 0.5 - voxel[a]) * size[a])
        for a in (horizontal, vertical)
    ]
    plane = np.take(picture.values, voxel[across], axis=across)
    low, high = picture.window
    image = axes.imshow(
        np.swapaxes(plane, 0, 1),
        cmap=_colour_map(picture.colours),
        vmin=low,
        vmax=high,
        origin="lower",
        extent=(*edges[0], *edges[1]),
        interpolation="nearest",
        aspect="equal",
    )
    if picture.mask is not None:
        outline = np.take(picture.mask, voxel[across], axis=across).T
        if outline.any() and not outline.all():
            x, y = ((np.arange(picture.values.shape[a]) - voxel[a]) * size[a] for a in (horizontal, vertical))
            axes.contour(x, y, outline.astype(np.float32), levels=[0.5], colors=[OUTLINE], linewidths=0.6)
    axes.set_xlim(float(box[horizontal, 1]), float(box[horizontal, 0]))
    axes.set_ylim(float(box[vertical, 0]), float(box[vertical, 1]))
    axes.set_axis_off()
    places = ((0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"), (0.5, 0.98, "center", "top"))
    for letter, (x, y, ha, va) in zip(letters[:3], places, strict=True):
        axes.text(
            x, y, letter, transform=axes.transAxes, **text_style(7, WHITE, ha=ha, va=va), path_effects=EDGE
        )
    return image


def _colour_map(name: str) -> Any:
    """Return the colour map, with black for missing values."""
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=BLACK)


def _draw_key(axes: Axes, figure: Figure, image: AxesImage, picture: Picture) -> None:
    """Draw the colour bar with its unit, or the key of the direction colours."""
    if picture.values.ndim == 4:
        axes.set_axis_off()
        names = (("left-right", "#ff5555"), ("ant-post", "#55dd55"), ("inf-sup", "#7799ff"))
        for i, (name, colour) in enumerate(names):
            axes.text(0.0, 0.6 - 0.1 * i, name, transform=axes.transAxes, **text_style(7.5, colour, ha="left"))
        return
    bar = figure.colorbar(image, cax=axes)
    bar.outline.set_edgecolor(GREY)
    bar.outline.set_linewidth(0.5)
    axes.tick_params(colors=WHITE, labelsize=7, length=2, width=0.5, labelfontfamily="DejaVu Sans")
    axes.yaxis.get_offset_text().set(**text_style(6.5, WHITE))
    if picture.unit:
        axes.set_title(picture.unit, **text_style(7.5, WHITE), pad=8, loc="left")


def _default_centre(pictures: Sequence[Picture]) -> Floats:
    """Return the centre of the first mask, or of the first image, in world coordinates [mm]."""
    masked = [picture for picture in pictures if picture.mask is not None and picture.mask.any()]
    picture = masked[0] if masked else pictures[0]
    if picture.mask is not None and masked:
        voxel = np.argwhere(picture.mask).mean(axis=0)
    else:
        voxel = (np.array(picture.values.shape[:3]) - 1) / 2
    return np.asarray(picture.affine[:3, :3] @ voxel + picture.affine[:3, 3])


def _voxel(picture: Picture, point: Floats, panel: Panel) -> npt.NDArray[np.intp]:
    voxel = np.rint(np.linalg.solve(picture.affine[:3, :3], point - picture.affine[:3, 3])).astype(np.intp)
    if (voxel < 0).any() or (voxel >= picture.values.shape[:3]).any():
        raise InputError(f"the point {point.round(1).tolist()} mm lies outside the image", source=panel.path)
    return np.asarray(voxel)


def _shared_box(pictures: Sequence[Picture], voxels: Sequence[npt.NDArray[np.intp]]) -> Floats:
    """Return limits (3, 2) [mm] from the point around every mask or, without masks, around nonzero voxels."""
    masked = [picture.mask is not None and bool(picture.mask.any()) for picture in pictures]
    limits = []
    for picture, voxel, has_mask in zip(pictures, voxels, masked, strict=True):
        if any(masked) and not has_mask:
            continue
        values = picture.values if picture.values.ndim == 3 else picture.values.max(axis=3)
        shown = picture.mask if has_mask and picture.mask is not None else np.isfinite(values) & (values != 0)
        low, high = _bounds(shown)
        margin = MARGIN / picture.voxel_size
        low, high = np.maximum(low - margin, 0.0), np.minimum(high + margin, np.array(shown.shape) - 1.0)
        limits.append(
            np.stack([(low - 0.5 - voxel), (high + 0.5 - voxel)], axis=1) * picture.voxel_size[:, None]
        )
    return np.stack([np.min(limits, axis=0)[:, 0], np.max(limits, axis=0)[:, 1]], axis=1)


def _bounds(shown: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return first and last index of the true voxels along each axis; of the whole array if there are none."""
    low, high = np.zeros(3), np.array(shown.shape) - 1.0
    for axis in range(3):
        there = np.flatnonzero(shown.any(axis=tuple(a for a in range(3) if a != axis)))
        if there.size:
            low[axis], high[axis] = there[0], there[-1]
    return low, high

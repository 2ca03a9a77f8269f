"""Slices of a picture in radiological orientation, with outlines, letters and colour keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke

from qsmengine.modalities.modality import SLAB_MM
from qsmengine.report.canvas import text_style
from qsmengine.report.panels import Picture

Floats: TypeAlias = npt.NDArray[np.float64]
View: TypeAlias = tuple[str, int, tuple[int, int], tuple[str, str, str, str]]
Reduce: TypeAlias = Callable[..., Any]

VIEWS: tuple[View, ...] = (
    ("axial", 2, (0, 1), ("R", "L", "A", "P")),
    ("coronal", 1, (0, 2), ("R", "L", "S", "I")),
    ("sagittal", 0, (1, 2), ("A", "P", "S", "I")),
)
"""Name, axis across, axes shown (horizontal, vertical), letters at left, right, top, bottom."""
LETTERS = ((0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"), (0.5, 0.98, "center", "top"))
"""Places of the letters, and their alignment."""
WHITE, GREY, BLACK, OUTLINE = "#f2f2f2", "#9a9a9a", "#000000", "#ffd43b"
EDGE = [withStroke(linewidth=1.0, foreground=BLACK)]


def draw_slice(
    axes: Axes,
    picture: Picture,
    voxel: npt.NDArray[np.intp],
    box: Floats,
    view: View,
    *,
    reduce: Reduce | None = None,
) -> AxesImage:
    """Draw one slice with outlines and letters; coordinates are mm from the point along the image axes.

    Parameters
    ----------
    axes, picture
        Where, and of what.
    voxel, box
        Voxel at the point of the slice, and limits (3, 2) [mm] from it.
    view
        One of `VIEWS`.
    reduce
        Reduction along an axis of the slab of `SLAB_MM` around the slice; None draws the slice alone.
    """
    _, across, (horizontal, vertical), letters = view
    size = picture.voxel_size
    edges = [
        ((-0.5 - voxel[a]) * size[a], (picture.values.shape[a] - 0.5 - voxel[a]) * size[a])
        for a in (horizontal, vertical)
    ]
    plane = _plane(picture, across, int(voxel[across]), reduce)
    low, high = picture.window
    image = axes.imshow(
        np.swapaxes(plane, 0, 1),
        cmap=colour_map(picture.colours),
        vmin=low,
        vmax=high,
        origin="lower",
        extent=(*edges[0], *edges[1]),
        interpolation="nearest",
        aspect="equal",
    )
    places = [(np.arange(picture.values.shape[a]) - voxel[a]) * size[a] for a in (horizontal, vertical)]
    for outline in _outlines(picture, across, int(voxel[across])):
        axes.contour(*places, outline.astype(np.float32), levels=[0.5], colors=[OUTLINE], linewidths=0.6)
    axes.set_xlim(float(box[horizontal, 1]), float(box[horizontal, 0]))
    axes.set_ylim(float(box[vertical, 0]), float(box[vertical, 1]))
    axes.set_axis_off()
    for letter, (x, y, ha, va) in zip(letters[:3], LETTERS, strict=True):
        axes.text(
            x, y, letter, transform=axes.transAxes, **text_style(7, WHITE, ha=ha, va=va), path_effects=EDGE
        )
    return image


def _plane(picture: Picture, axis: int, index: int, reduce: Reduce | None) -> npt.NDArray[np.float32]:
    """Return a slice across an axis, or the reduction of the slab around it."""
    if reduce is None:
        return np.asarray(np.take(picture.values, index, axis=axis))
    half = round(SLAB_MM / 2 / float(picture.voxel_size[axis]))
    indices = range(max(0, index - half), min(picture.values.shape[axis], index + half + 1))
    return np.asarray(reduce(np.take(picture.values, indices, axis=axis), axis=axis))


def _outlines(picture: Picture, axis: int, index: int) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield the transposed areas of a slice that are outlined: the mask, and each label."""
    areas = []
    if picture.mask is not None:
        areas.append(np.take(picture.mask, index, axis=axis).T)
    if picture.labels is not None:
        labels = np.take(picture.labels, index, axis=axis).T
        areas += [labels == value for value in np.unique(labels[labels != 0])]
    return (area for area in areas if area.any() and not area.all())


def colour_map(name: str) -> Any:
    """Return the colour map, with black for missing values."""
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=BLACK)


def draw_key(axes: Axes, figure: Figure, image: AxesImage, picture: Picture) -> None:
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

"""Maps of a reconstruction as MRD images in the geometry of the images that were received."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qsmengine import version
from qsmengine.backend.device import to_numpy
from qsmengine.data import Array
from qsmengine.modalities.gre.run import QsmResult
from qsmengine.scanner.parameters import Choice, Pixels
from qsmengine.scanner.series import Received
from qsmengine.scanner.wire import ismrmrd

INT16 = 32767
MAGNITUDE = 1
"""Image type of all maps: that of images with a single value per voxel."""


@dataclass(frozen=True)
class Shown:
    """Map that is sent.

    Parameters
    ----------
    name
        Name of the parameter that chooses it, and of the series.
    maps
        Names of the map in the result; the first one present is sent.
    unit
        Unit after the rescale slope.
    factor
        Value in `unit` of 1 in the result.
    step
        Value in `unit` of one integer pixel; None: from the largest value.
    window
        Lower and upper end in `unit`; None: 0 to the 99.5th percentile.
    kind
        Values appended to the DICOM image type.
    """

    name: str
    maps: tuple[str, ...]
    unit: str
    kind: tuple[str, ...]
    factor: float = 1.0
    step: float | None = None
    window: tuple[float, float] | None = None


MAPS = (
    Shown("chi", ("chi",), "ppb", ("QSM", "CHI"), 1000.0, 0.1, (-100.0, 100.0)),
    Shown("r2star", ("r2star",), "1/s", ("QSM", "R2STAR"), 1.0, 0.1, (0.0, 60.0)),
    Shown("uncertainty", ("chi_ci68", "chi_sd"), "ppb", ("QSM", "UNCERTAINTY"), 1000.0, 0.1, (0.0, 20.0)),
    Shown("swi", ("swi",), "", ("SWI",)),
)


def answer(result: QsmResult, received: Received, choice: Choice) -> Iterator[Any]:
    """Yield the images of every chosen map: a new series each, an image per image received of the first echo.

    Pixels are float32 in the unit of the result, or int16; attributes give the rescale slope to the unit shown,
    window, role, and names.
    """
    number = received.last_series
    for shown in MAPS:
        name = next((name for name in shown.maps if name in result.maps), None)
        if name is None or not (shown.name == "chi" or getattr(choice, shown.name)):
            continue
        number += 1
        pixels, slope = _pixels(to_numpy(result[name]), shown, choice.pixels)
        meta = _attributes(shown, pixels, slope, choice)
        start = 0
        for index, template in enumerate(received.templates, start=1):
            depth = template.data.shape[1]
            part = pixels[:, :, start : start + depth]
            start += depth
            yield _image(template, part, meta, index, number)


def _pixels(values: Array, shown: Shown, kind: Pixels) -> tuple[Array, float]:
    """Return pixels (x, y, z) and the slope to the unit shown; values beyond int16 are clipped."""
    if kind == "float":
        return values.astype(np.float32, copy=False), shown.factor
    finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0) * shown.factor
    step = shown.step or max(1.0, float(np.abs(finite).max()) / INT16)
    return np.clip(np.rint(finite / step), -INT16, INT16).astype(np.int16), step


def _attributes(shown: Shown, pixels: Array, slope: float, choice: Choice) -> dict[str, Any]:
    low, high = shown.window or (0.0, slope * _bright(pixels))
    title = f"{shown.name} [{shown.unit}]" if shown.unit else shown.name
    return {
        "DataRole": "Quantitative" if shown.unit else "Image",
        "ImageType": ["DERIVED", *shown.kind],
        "SeriesDescriptionAdditional": f"{shown.name}_{shown.unit}".strip("_").replace("/", "per"),
        "ImageComments": f"{title}, qsmengine {version.__version__}, preset {choice.preset}",
        "RescaleSlope": slope,
        "RescaleIntercept": 0.0,
        "WindowCenter": round((low + high) / 2),
        "WindowWidth": max(1, round(high - low)),
        "Keep_image_geometry": 1,
    }


def _bright(pixels: Array) -> float:
    """Return the 99.5th percentile of the positive pixels."""
    positive = pixels[pixels > 0]
    return float(np.percentile(positive, 99.5, method="lower")) if positive.size else 1.0


def _image(template: Any, pixels: Array, meta: dict[str, Any], index: int, series: int) -> Any:
    """Return an image (z, y, x of `pixels`) with the geometry and the attributes of `template`."""
    package = ismrmrd()
    head = package.ImageHeader.from_buffer_copy(template.head)
    data = np.ascontiguousarray(pixels.transpose(2, 1, 0))[None]
    head.data_type = package.DATATYPE_FLOAT if data.dtype == np.float32 else package.DATATYPE_SHORT
    head.image_type, head.contrast, head.channels = MAGNITUDE, 0, 1
    head.image_index, head.image_series_index = index, series
    attributes = package.Meta({**template.meta, **meta})
    return package.Image(head=head, data=data, meta=attributes)

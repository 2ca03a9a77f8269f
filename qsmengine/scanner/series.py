"""Collection of the images of one acquisition into a gradient-echo series."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from qsmengine.data import Array, GreSeries
from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.gre import check_signal
from qsmengine.io.header import ImageHeader
from qsmengine.io.mirrored_phase import check_mirrored_phase
from qsmengine.io.orientation import check_orientation
from qsmengine.io.phase import PhaseFile, phase_to_radians
from qsmengine.io.slices import correct_slices
from qsmengine.pipeline.configuration.model import InputOptions
from qsmengine.scanner.geometry import Frame, affine_of, depth
from qsmengine.scanner.header import Acquisition
from qsmengine.scanner.wire import Image

PARTS = {1: "magnitude", 2: "phase"}
"""Image types that are reconstructed -> their names."""
_OTHERS = {0: "unknown", 3: "real", 4: "imaginary", 5: "complex", 6: "RGB"}
Slices: TypeAlias = list[tuple[Frame, Image]]


@dataclass(frozen=True)
class Received:
    """Series with its notes, and the images of the first magnitude in the order of their slices."""

    series: GreSeries
    notes: tuple[str, ...]
    templates: tuple[Image, ...]
    last_series: int


@dataclass
class Collection:
    """Images that have arrived, by part and echo."""

    _slices: dict[tuple[str, int], Slices] = field(default_factory=dict)
    _last_series: int = 0

    def add(self, image: Image) -> None:
        """Add an image.

        Raises
        ------
        InputError
            For an image that is neither magnitude nor phase, has several channels, belongs to a repetition, or
            has no geometry.
        """
        head = image.head
        if head.image_type not in PARTS:
            name = _OTHERS.get(head.image_type, str(head.image_type))
            message = f"{name}: only magnitude (1) and phase (2) images are reconstructed"
            raise InputError(message, source="image", field="image_type")
        if head.channels != 1 or image.data.dtype.kind == "c":
            raise InputError(
                "images of one channel with real values are needed", source="image", field="channels"
            )
        for name in ("repetition", "average", "set", "phase"):
            if getattr(head, name):
                message = (
                    f"{getattr(head, name)}: a single repetition, average, set and cardiac phase is needed"
                )
                raise InputError(message, source="image", field=name)
        self._last_series = max(self._last_series, int(head.image_series_index))
        key = (PARTS[head.image_type], int(head.contrast))
        self._slices.setdefault(key, []).append((Frame.of(head, image.meta), image))

    def __len__(self) -> int:
        return sum(map(len, self._slices.values()))

    def finish(self, facts: Acquisition, options: InputOptions) -> Received:
        """Return the series, with the checks and corrections of images from files.

        Raises
        ------
        InputError
            If an echo or a slice is missing, geometries differ, or the phase has an unknown range; the message
            names part and echo.
        """
        self._check_complete(len(facts.echo_times))
        ordered = {key: sorted(slices, key=lambda one: depth(one[0])) for key, slices in self._slices.items()}
        first = ordered["magnitude", 0]
        grid = Grid(_shape(first), affine_of([frame for frame, _ in first]), facts.field_strength)
        for (part, echo), slices in ordered.items():
            own = Grid(_shape(slices), affine_of([frame for frame, _ in slices]))
            check_same_grid(own, grid, f"{part} of echo {echo + 1}", "magnitude of echo 1")
        echoes = range(len(facts.echo_times))
        magnitudes = _stacked([_scaled(ordered["magnitude", echo]) for echo in echoes])
        files = [_phase_file(ordered["phase", echo], echo) for echo in echoes]
        phases, notes = phase_to_radians(files, units=options.phase_units, sign=options.phase_sign)
        phase = _stacked(phases)
        unknown = check_signal(magnitudes, phase, ("magnitude", "phase"), notes)
        correct_slices(magnitudes, phase, options.slice_alternation, notes)
        names = [[f"{part} of echo {echo + 1}" for echo in echoes] for part in PARTS.values()]
        check_mirrored_phase(magnitudes[..., 0], phase[..., 0], names[1])
        if len(echoes) > 1:
            check_orientation(magnitudes, phase, *names)
        series = GreSeries(magnitudes, phase, facts.echo_times, grid, unknown)
        return Received(series, tuple(notes), tuple(image for _, image in first), self._last_series)

    def _check_complete(self, echoes: int) -> None:
        if not self._slices:
            raise InputError("no magnitude or phase image was sent", source="session")
        wanted = [(part, echo) for part in PARTS.values() for echo in range(echoes)]
        extra = sorted(set(self._slices) - set(wanted))
        if extra:
            part, echo = extra[0]
            raise InputError(
                f"{echoes} echo times, but there is {part} of echo {echo + 1}",
                source="MRD header", field="sequenceParameters.TE",
            )  # fmt: skip
        count = max(len(slices) for slices in self._slices.values())
        for part, echo in wanted:
            found = len(self._slices.get((part, echo), ()))
            if found != count:
                amount = "no image was sent" if not found else f"{found} of {count} slices were sent"
                raise InputError(amount, source=f"{part} of echo {echo + 1}")


def _shape(slices: Slices) -> tuple[int, int, int]:
    x, y, z = slices[0][0].shape
    if z > 1 and len(slices) > 1:
        raise InputError("several volumes of one echo were sent", source="image", field="contrast")
    return x, y, z * len(slices)


def _stored(slices: Slices) -> Array:
    """Return the voxels (x, y, z) of an echo as sent."""
    return np.concatenate([image.data[0] for _, image in slices]).transpose(2, 1, 0)


def _scaling(slices: Slices) -> tuple[float, float]:
    """Return slope and intercept in the attributes of an echo's images, which must agree."""
    found = {_slope(image) for _, image in slices}
    if len(found) > 1:
        raise InputError("the slices of one echo differ", source="image", field="RescaleSlope")
    return next(iter(found))


def _slope(image: Image) -> tuple[float, float]:
    try:
        slope = float(image.meta.get("RescaleSlope", 1.0))
        return slope, float(image.meta.get("RescaleIntercept", 0.0))
    except (TypeError, ValueError):
        raise InputError("not a number", source="image", field="RescaleSlope") from None


def _scaled(slices: Slices) -> Array:
    slope, intercept = _scaling(slices)
    stored = _stored(slices).astype(np.float32)
    return stored if (slope, intercept) == (1.0, 0.0) else stored * np.float32(slope) + np.float32(intercept)


def _phase_file(slices: Slices, echo: int) -> PhaseFile:
    stored, (slope, intercept) = _stored(slices), _scaling(slices)
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    name = Path(f"phase of echo {echo + 1}")
    header = ImageHeader(
        path=name, data_path=name, shape=stored.shape, dtype=stored.dtype, offset=0,
        slope=slope, intercept=intercept, intent="", description="",
        sform_code=0, qform_code=0, affine_source="none", notes=[],
    )  # fmt: skip
    return PhaseFile(stored, header)


def _stacked(volumes: list[Array]) -> Array:
    """Return (x, y, z, echo), each echo contiguous."""
    return np.moveaxis(np.stack([np.ascontiguousarray(volume) for volume in volumes]), 0, 3)

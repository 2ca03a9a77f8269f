"""Loading of the transmit field B1: a map, or two images from which it follows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io._clean import finite_or_zero
from qsmengine.io._parts import read_part
from qsmengine.io._series import SeriesFile, open_file
from qsmengine.io.header import check_stored_size
from qsmengine.io.inheritance import Folders
from qsmengine.io.nifti import read_image
from qsmengine.io.vfa import REPETITION
from qsmengine.records import record

Kind: TypeAlias = Literal["map", "afi", "double_angle"]

RATIOS, PERCENTS = (0.2, 3.0), (20.0, 300.0)
"""Ranges of the median of a B1 map that is a ratio to the nominal flip angle, or percent of it."""
SAMPLE = 300_000
"""Values from whose median ratios and percent are distinguished."""
EQUAL = 0.02
"""Largest relative difference of flip angles that count as equal, or as one and its double."""


@record
class B1File:
    """Map of B1 on disk, or the two images of a B1 mapping; the voxels are not read.

    Parameters
    ----------
    kind
        "map"; "afi": images after a short and a long repetition time; "double_angle": images at a flip angle
        and at twice that angle.
    files
        One map, or two images in this order.
    grid
        Geometry.
    flip_angle
        Nominal flip angle of the first image [deg]; 0 for a map.
    ratio
        Second repetition time over the first; 0 unless `kind` is "afi".
    """

    kind: Kind
    files: tuple[SeriesFile, ...]
    grid: Grid
    flip_angle: float = 0.0
    ratio: float = 0.0

    @property
    def sources(self) -> tuple[Path, ...]:
        """Images and their sidecars."""
        return tuple(path for file in self.files for path in (file.path, *file.sidecar.files))


def open_b1(paths: Sequence[str | Path], folders: Folders | None = None) -> B1File:
    """Read headers and sidecars of a B1 map or of two images of a B1 mapping; no voxel is read.

    Two images with equal flip angles are those of actual flip-angle imaging; if one angle is twice the other
    they are those of the double-angle method.

    Raises
    ------
    InputError
        For other numbers of images, different grids, and flip angles or repetition times that are missing or
        belong to neither method.
    """
    files = [open_file(Path(path), folders) for path in paths]
    for file in files:
        check_stored_size(file.header)
        if file.n_volumes != 1:
            raise InputError(
                f"has {file.n_volumes} volumes; B1 needs 3-D images", source=file.path, field="dim"
            )
    if len(files) == 1:
        return B1File("map", (files[0],), files[0].grid)
    if len(files) != 2:
        raise InputError(f"{len(files)} images; a B1 map or two images of a B1 mapping are needed", field="b1")
    check_same_grid(files[1].grid, files[0].grid, files[1].path, files[0].path)
    return _mapping(files)


def _mapping(files: Sequence[SeriesFile]) -> B1File:
    """Return the images of a B1 mapping in the order of their method."""
    remedy = "two images of B1 need it in their sidecars"
    angles = [file.sidecar.require_number("FlipAngle", remedy) for file in files]
    low, high = sorted(angles)
    if low > 0 and abs(high / low - 2) <= 2 * EQUAL:
        ordered = sorted(files, key=lambda file: angles[files.index(file)])
        return B1File("double_angle", tuple(ordered), files[0].grid, low)
    if low <= 0 or high / low - 1 > EQUAL:
        raise InputError(
            f"flip angles of {low:g} and {high:g} degrees: neither equal (actual flip-angle imaging) nor one "
            "twice the other (double angle)",
            source=files[0].path,
            field="FlipAngle",
        )
    times = []
    for file in files:
        field = next((name for name in REPETITION if name in file.sidecar.values), REPETITION[0])
        times.append(file.sidecar.require_number(field, remedy))
    short, long = sorted(times)
    if short <= 0 or long < 1.1 * short:
        raise InputError(
            f"repetition times of {short:g} and {long:g} s; actual flip-angle imaging needs two different ones",
            source=files[0].path,
            field="RepetitionTime",
        )
    ordered = sorted(files, key=lambda file: times[files.index(file)])
    return B1File("afi", tuple(ordered), files[0].grid, low, long / short)


@record
class B1Map:
    """Ratio (x, y, z) of the actual to the nominal flip angle, 0 where it is unknown, and notes.

    `part` is the part of the file's grid that `ratio` covers; None: all of it.
    """

    ratio: Array
    notes: list[str]
    part: tuple[slice, ...] | None = None


def read_b1_map(file: B1File, part: tuple[slice, ...] | None = None) -> B1Map:
    """Read a B1 map.

    Values in percent are recognised by the sidecar's ``Units``, or else by their median, with a note.

    Parameters
    ----------
    file
        Map.
    part
        Part of its grid that is enough, and is read unless values must be corrected; None: all of it.

    Raises
    ------
    InputError
        For values that are neither ratios nor percent.
    """
    path, sidecar = file.files[0].path, file.files[0].sidecar
    within = None if part is None else read_part(file.files, [0], part)
    if within is None:
        part, ratio = None, finite_or_zero(read_image(path).array).reshape(file.grid.shape, order="A")
    else:
        ratio = within[..., 0]
    typical = _typical(ratio)
    unit = (sidecar.text("Units") or "").strip().lower()
    notes = [f"{path}: {note}" for note in file.files[0].header.notes]
    percent = PERCENTS[0] < typical < PERCENTS[1]
    if not percent and not RATIOS[0] < typical < RATIOS[1]:
        raise InputError(
            f"the median is {typical:g}; a B1 map is about 1 (ratio to nominal) or 100 (percent)",
            source=path,
            field="b1",
        )
    if unit in {"percent", "%", "1", "ratio"} and percent != (unit in {"percent", "%"}):
        raise InputError(
            f"{unit!r}, but the median is {typical:g}: B1 is about 1 as a ratio and about 100 in percent",
            source=path,
            field="Units",
        )
    if percent:
        ratio *= np.float32(0.01)
        notes.append(f"{path}: B1 in percent (median {typical:.3g}), divided by 100")
    return B1Map(ratio, notes, part)


def _typical(ratio: Array) -> float:
    """Return the median of the positive values of a map, or of an even sample of them; 0 without any.

    It is the upper median: np.median would import NumPy's masked arrays.
    """
    values = ratio.ravel(order="K")
    for candidates in (values[:: values.size // SAMPLE + 1], values):
        known = candidates[candidates > 0]
        if known.size:
            return float(np.partition(known, known.size // 2)[known.size // 2])
    return 0.0

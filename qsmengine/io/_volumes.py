"""Opening and reading of the volumes of one series in one file or several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io._clean import clear_unknown, zero_negative
from qsmengine.io._series import SeriesFile, open_file
from qsmengine.io.header import check_stored_size
from qsmengine.io.in_parallel import in_parallel
from qsmengine.io.inheritance import Folders
from qsmengine.io.nifti import check_real, read_stored, scale_stored


def open_volumes(
    images: Sequence[str | Path], folders: Folders | None, problems: list[InputError]
) -> tuple[SeriesFile, ...]:
    """Read headers and sidecars of the images of one series.

    Raises
    ------
    InputError
        For no image, and for images that cannot be read or differ in grid: the first of the `problems`, which
        receive them all.
    """
    files: list[SeriesFile] = []
    for path in images:
        try:
            file = open_file(Path(path), folders)
            check_stored_size(file.header)
            if files:
                check_same_grid(file.grid, files[0].grid, file.path, files[0].path)
            files.append(file)
        except InputError as error:
            problems.append(error)
    if not images:
        problems.append(InputError("no image", field="images"))
    if problems:
        raise problems[0]
    return tuple(files)


def read_volumes(
    files: Sequence[SeriesFile], grid: Grid, order: Sequence[int], notes: list[str]
) -> tuple[Array, Array | None]:
    """Read the volumes of a magnitude series; extend `notes`.

    Parameters
    ----------
    files, grid
        Files with their volumes one after the other, and their geometry.
    order
        (volume,) number of the volume among those of the files, in the order of the series.

    Returns
    -------
    signal, unknown
        (x, y, z, volume) float32, x fastest as in the files, and the voxels (x, y, z) that were not finite in a
        volume, None if there are none; they are 0 in all volumes.

    Raises
    ------
    InputError
        For a volume without signal, and for more than 5 % unusable values in a volume.
    """
    places = places_of(files, order)
    signal = np.empty((len(order), *grid.shape[::-1]), np.float32).transpose(3, 2, 1, 0)

    def read(which: int) -> None:
        image = read_stored(files[which].path)
        check_real(image.header)
        stored = image.array.reshape(*grid.shape, -1)
        for k in range(stored.shape[3]):
            volume = signal[..., places[which][k]]
            scale_stored(stored[..., k], image.header.slope, image.header.intercept, out=volume)
            if not volume.any():
                raise InputError("every value is 0: no signal", source=files[which].path)

    in_parallel(read, range(len(files)))
    unknown = clear_unknown([("signal", signal, files[0].path)], "volume", notes)
    zero_negative(signal, "signal", files[0].path, notes)
    return signal, unknown


def places_of(files: Sequence[SeriesFile], order: Sequence[int]) -> list[list[int]]:
    """Return the places of each file's volumes in a series in `order`, that of :func:`read_volumes`."""
    places = {volume: place for place, volume in enumerate(order)}
    starts = np.cumsum([0, *(file.n_volumes for file in files[:-1])]).tolist()
    return [
        [places[start + k] for k in range(file.n_volumes)] for start, file in zip(starts, files, strict=True)
    ]

"""Loading of bolus series (dynamic susceptibility contrast): one or two echoes, their times, slice timing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qsmengine.data import Array, DscSeries, check_echo_times
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid, check_same_grid
from qsmengine.io._clean import clear_unknown, zero_negative
from qsmengine.io._dsc_times import repetition_time_of, slice_times_of
from qsmengine.io._series import SeriesFile, open_file
from qsmengine.io.header import check_stored_size
from qsmengine.io.inheritance import Folders
from qsmengine.io.nifti import read_image

FEWEST_FRAMES = 20
"""Fewest frames of a bolus series: a baseline, the first pass and what follows."""
MOST_ECHOES = 2


@dataclass(frozen=True)
class DscFile:
    """Bolus series on disk with consistent headers and sidecars; the voxels are not read.

    Parameters
    ----------
    files
        One per echo, by ascending echo time.
    grid
        Geometry.
    echo_times, repetition_time
        [s].
    slice_times
        (z,) [s] after the beginning of a frame; None: not in the sidecar.
    notes
        Decisions.
    """

    files: tuple[SeriesFile, ...]
    grid: Grid
    echo_times: tuple[float, ...]
    repetition_time: float
    slice_times: FloatArray | None
    notes: tuple[str, ...]

    @property
    def n_volumes(self) -> int:
        """Number of frames."""
        return self.files[0].n_volumes

    @property
    def sources(self) -> tuple[Path, ...]:
        """Images and their sidecars."""
        return tuple(path for file in self.files for path in (file.path, *file.sidecar.files))


@dataclass(frozen=True)
class DscLoaded:
    """Series, decisions made while loading it, its source files, and voxels without usable values.

    `unknown` (x, y, z) bool marks voxels that were not finite in a frame; None: there are none.
    """

    series: DscSeries
    notes: list[str]
    sources: tuple[Path, ...]
    unknown: Array | None = None


def open_dsc(
    images: str | Path | Sequence[str | Path],
    *,
    echo_times: Sequence[float] | None = None,
    repetition_time: float | None = None,
    folders: Folders | None = None,
    problems: list[InputError] | None = None,
) -> DscFile:
    """Read headers and sidecars of a bolus series; no voxel is read.

    Parameters
    ----------
    images
        4-D image, or one per echo (two at most).
    echo_times
        [s], one per image in the given order; override the sidecars.
    repetition_time
        Time between frames [s]; overrides the sidecars.
    folders
        Listings shared by calls for many series.
    problems
        List that receives every problem; the first one is raised.

    Raises
    ------
    InputError
        For a file without frames or with fewer than `FEWEST_FRAMES`, echoes that differ in grid or frames, a
        missing or implausible time, or sources that contradict each other; the message names file and field.
    """
    problems = [] if problems is None else problems
    start = len(problems)
    paths = [Path(images)] if isinstance(images, str | Path) else [Path(path) for path in images]
    if not 1 <= len(paths) <= MOST_ECHOES:
        raise InputError(f"{len(paths)} images; one or two echoes are needed", field="dsc")
    files = []
    for path in paths:
        with _collected(problems):
            files.append(_open(path, folders))
    _raise_first(problems[start:])
    notes: list[str] = []
    with _collected(problems):
        _check_alike(files)
    with _collected(problems):
        files, times = _by_echo_time(files, echo_times, notes)
    with _collected(problems):
        step = repetition_time_of(files, repetition_time, notes)
        slices = slice_times_of(files[0], step, notes)
    _raise_first(problems[start:])
    for file in files:
        notes += [f"{file.path}: {note}" for note in file.header.notes] + file.sidecar.notes
    return DscFile(tuple(files), files[0].grid, times, step, slices, tuple(dict.fromkeys(notes)))


def load_dsc(
    images: str | Path | Sequence[str | Path],
    *,
    echo_times: Sequence[float] | None = None,
    repetition_time: float | None = None,
) -> DscLoaded:
    """Load a bolus series; parameters and errors as in :func:`open_dsc`.

    Returns
    -------
    DscLoaded
        Signals (x, y, z, frame) float32, one per echo. A voxel that is NaN or infinite in one frame is
        0 in all.

    Raises
    ------
    InputError
        Also for a series without signal, and for more than 5 % unusable values in a frame.
    """
    return read_dsc(open_dsc(images, echo_times=echo_times, repetition_time=repetition_time))


def read_dsc(file: DscFile) -> DscLoaded:
    """Read the voxels of an opened series; errors as in :func:`load_dsc`."""
    notes = list(file.notes)
    signals = [read_image(one.path).array for one in file.files]
    parts = [
        (f"echo {n}", signal, one.path)
        for n, (signal, one) in enumerate(zip(signals, file.files, strict=True), 1)
    ]
    unknown = clear_unknown(parts, "frame", notes)
    for name, signal, path in parts:
        zero_negative(signal, name, path, notes)
        if not signal.any():
            raise InputError("every value is 0: no signal", source=path)
    series = DscSeries(tuple(signals), file.echo_times, file.repetition_time, file.grid, file.slice_times)
    return DscLoaded(series, notes, file.sources, unknown)


def _open(path: Path, folders: Folders | None) -> SeriesFile:
    file = open_file(path, folders)
    check_stored_size(file.header)
    if len(file.header.shape) < 4:
        raise InputError(
            "has three dimensions; a bolus series has a fourth, its frames: pass the 4-D image",
            source=path,
            field="dim[0]",
        )
    if file.n_volumes < FEWEST_FRAMES:
        raise InputError(
            f"{file.n_volumes} frames; a bolus series needs {FEWEST_FRAMES} or more",
            source=path,
            field="dim[4]",
        )
    return file


def _check_alike(files: Sequence[SeriesFile]) -> None:
    first = files[0]
    for file in files[1:]:
        check_same_grid(file.grid, first.grid, file.path, first.path)
        if file.n_volumes != first.n_volumes:
            raise InputError(
                f"{file.n_volumes} frames, {first.path} has {first.n_volumes}",
                source=file.path,
                field="dim[4]",
            )


def _by_echo_time(
    files: list[SeriesFile], given: Sequence[float] | None, notes: list[str]
) -> tuple[list[SeriesFile], tuple[float, ...]]:
    """Return files and echo times [s], both by ascending echo time."""
    if given is not None:
        if len(given) != len(files):
            raise InputError(f"{len(given)} echo times for {len(files)} images", field="EchoTime")
        times = [float(time) for time in given]
        for file, time in zip(files, times, strict=True):
            other = file.sidecar.values.get("EchoTime")
            if isinstance(other, int | float) and abs(other - time) > 1e-6:
                notes.append(
                    f"{file.path}: the given echo time {time:g} s overrides that of the sidecar, {other:g} s"
                )
    else:
        remedy = "give --te (echo_times) in seconds"
        times = [file.sidecar.require_number("EchoTime", remedy) for file in files]
    order = sorted(range(len(files)), key=times.__getitem__)
    try:
        return [files[i] for i in order], check_echo_times(tuple(times[i] for i in order))
    except InputError as error:
        raise error.at(files[0].path) from error


@contextmanager
def _collected(problems: list[InputError]) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        problems.append(error)


def _raise_first(problems: Sequence[InputError]) -> None:
    if problems:
        raise problems[0]

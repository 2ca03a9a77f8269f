"""Loading of spoiled gradient echoes at several flip angles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qsmengine.data import Array, VfaSeries
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io._parts import read_part
from qsmengine.io._series import SeriesFile
from qsmengine.io._volumes import open_volumes, read_volumes
from qsmengine.io.alike import check_alike
from qsmengine.io.inheritance import Folders
from qsmengine.records import record

REPETITION = ("RepetitionTimeExcitation", "RepetitionTime")
"""Fields of the time between pulses [s], the one that BIDS prescribes first."""


@record
class VfaFile:
    """Series on disk with consistent headers and sidecars; the voxels are not read.

    Parameters
    ----------
    files
        One per flip angle and echo, or one per flip angle with its echoes as volumes.
    grid
        Geometry.
    flip_angles, repetition_times, echo_times
        (volume,) [deg] and [s].
    notes
        Decisions.
    """

    files: tuple[SeriesFile, ...]
    grid: Grid
    flip_angles: tuple[float, ...]
    repetition_times: tuple[float, ...]
    echo_times: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def n_volumes(self) -> int:
        """Number of volumes."""
        return len(self.flip_angles)

    def with_strength(self, grid: Grid) -> Grid:
        """Return a grid with the field strength of the sidecars, if they state one."""
        known = self.files[0].sidecar.field_strength
        return grid if known is None else grid.replace(field_strength=known)

    @property
    def sources(self) -> tuple[Path, ...]:
        """Images and their sidecars."""
        return tuple(path for file in self.files for path in (file.path, *file.sidecar.files))


@record
class VfaLoaded:
    """Series, decisions made while loading it, and voxels without usable values.

    `unknown` (x, y, z) bool marks voxels that were not finite in a volume; None: there are none.
    """

    series: VfaSeries
    notes: list[str]
    unknown: Array | None = None


def open_vfa(
    images: Sequence[str | Path],
    *,
    flip_angles: Sequence[float] | None = None,
    repetition_times: Sequence[float] | None = None,
    echo_times: Sequence[float] | None = None,
    folders: Folders | None = None,
    problems: list[InputError] | None = None,
) -> VfaFile:
    """Read headers and sidecars of a series; no voxel is read.

    Parameters
    ----------
    images
        One image per flip angle and echo, or one per flip angle with its echoes as fourth dimension.
    flip_angles, repetition_times
        [deg] and [s], one per image, or one repetition time for all; override the sidecars.
    echo_times
        [s], one per volume in the order of the images; override the sidecars.
    folders
        Listings shared by calls for many series.
    problems
        List that receives every problem; the first one is raised.

    Raises
    ------
    InputError
        For a missing flip angle, repetition time or echo time, images that differ in grid, and numbers of
        values that do not match the images; the message names file and field.
    """
    problems = [] if problems is None else problems
    files = open_volumes(images, folders, problems)
    notes: list[str] = []
    tables: dict[str, tuple[float, ...]] = {}
    requests = {
        "flip": (flip_angles, ("FlipAngle",), "--flip-angles"),
        "repetition": (repetition_times, REPETITION, "--repetition-times"),
        "echo": (echo_times, ("EchoTime",), "--echo-times"),
    }
    for name, (given, fields, option) in requests.items():
        try:
            tables[name] = _table(files, given, fields, option, notes)
        except InputError as error:
            problems.append(error)
    if problems:
        raise problems[0]
    for file in files:
        notes += [f"{file.path}: {note}" for note in file.header.notes] + file.sidecar.notes
    distinct = tuple(dict.fromkeys(notes))
    return VfaFile(files, files[0].grid, tables["flip"], tables["repetition"], tables["echo"], distinct)


def read_vfa(file: VfaFile, part: tuple[slice, ...] | None = None) -> VfaLoaded:
    """Read the voxels of an opened series.

    Parameters
    ----------
    file
        Series.
    part
        Part of the grid that is enough; None: all of it.

    Returns
    -------
    VfaLoaded
        Signal (x, y, z, volume) float32, of `part` unless values must be corrected. A voxel that is NaN or
        infinite in one volume is 0 in all.

    Raises
    ------
    InputError
        For a volume without signal, for more than 5 % unusable values in a volume, and for volumes that do not
        belong together, see :func:`qsmengine.io.alike.check_alike`.
    """
    notes, order = list(file.notes), range(file.n_volumes)
    signal, unknown = None if part is None else read_part(file.files, order, part), None
    if signal is None:
        part, (signal, unknown) = None, read_volumes(file.files, file.grid, order, notes)
    names = [str(source.path) for source in file.files for _ in range(source.n_volumes)]
    check_alike(signal, names, ("volume", "volumes"))
    series = VfaSeries(signal, file.flip_angles, file.repetition_times, file.echo_times, file.grid, part)
    return VfaLoaded(series, notes, unknown)


def _table(
    files: Sequence[SeriesFile],
    given: Sequence[float] | None,
    fields: Sequence[str],
    option: str,
    notes: list[str],
) -> tuple[float, ...]:
    """Return a value per volume: `given`, else that of the first of `fields` in the sidecars."""
    per_volume = fields == ("EchoTime",)
    if given is None:
        return tuple(v for file in files for v in _from_sidecar(file, fields, option, per_volume=per_volume))
    counts = [file.n_volumes for file in files]
    values = [float(value) for value in given]
    if len(values) == 1 and fields == REPETITION:
        values *= len(files)
    if per_volume and len(values) == sum(counts):
        return tuple(values)
    if len(values) != len(files) or (per_volume and sum(counts) > len(files)):
        what = "volumes" if per_volume else "images"
        count = sum(counts) if per_volume else len(files)
        raise InputError(f"{option}: {len(values)} values for {count} {what}", field=fields[0])
    for file, value in zip(files, values, strict=True):
        other = next((file.sidecar.values[f] for f in fields if f in file.sidecar.values), None)
        if isinstance(other, int | float) and abs(other - value) > 1e-6 * abs(value):
            notes.append(f"{file.path}: {option} {value:g} overrides {fields[0]} {other:g} of the sidecar")
    return tuple(value for value, count in zip(values, counts, strict=True) for _ in range(count))


def _from_sidecar(file: SeriesFile, fields: Sequence[str], option: str, *, per_volume: bool) -> Sequence[float]:
    """Return the values of the volumes of one file."""
    field = next((f for f in fields if f in file.sidecar.values), fields[0])
    unit = "degrees" if field == "FlipAngle" else "seconds"
    values = file.sidecar.numbers(field)
    if values is None:
        file.sidecar.missing(field, f"give {option} in {unit}")
    if len(values) == file.n_volumes:
        return values
    if len(values) > 1 or per_volume:
        raise InputError(
            f"{len(values)} values for {file.n_volumes} volumes; give {option} in {unit}",
            source=file.sidecar.origin[field],
            field=field,
        )
    return values * file.n_volumes

"""Loading of spin-echo trains: one image per echo, or all echoes as the fourth dimension of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qsmengine.data import Array, MeseSeries
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io._series import EchoGroup, common_echo_times, common_grid
from qsmengine.io._volumes import open_volumes, read_volumes
from qsmengine.io.alike import check_alike
from qsmengine.io.inheritance import Folders


@dataclass(frozen=True)
class MeseFile:
    """Spin echoes on disk with consistent headers and sidecars; the voxels are not read.

    Parameters
    ----------
    group
        Files of the series.
    grid
        Geometry.
    echo_times
        (echo,) [s], ascending.
    order
        (echo,) number of the volume among those of the files.
    notes
        Decisions.
    """

    group: EchoGroup
    grid: Grid
    echo_times: tuple[float, ...]
    order: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def n_volumes(self) -> int:
        """Number of echoes."""
        return len(self.echo_times)

    @property
    def sources(self) -> tuple[Path, ...]:
        """Images and their sidecars."""
        return tuple(self.group.sources)


@dataclass(frozen=True)
class MeseLoaded:
    """Series, decisions made while loading it, and voxels without usable values.

    `unknown` (x, y, z) bool marks voxels that were not finite in an echo; None: there are none.
    """

    series: MeseSeries
    notes: list[str]
    unknown: Array | None = None


def open_mese(
    images: Sequence[str | Path],
    *,
    echo_times: Sequence[float] | None = None,
    folders: Folders | None = None,
    problems: list[InputError] | None = None,
) -> MeseFile:
    """Read headers and sidecars of a spin-echo train; no voxel is read.

    Parameters
    ----------
    images
        One image per echo, or one with the echoes as fourth dimension.
    echo_times
        [s], one per volume in the order of the images; override the sidecars.
    folders
        Listings shared by calls for many series.
    problems
        List that receives every problem; the first one is raised.

    Raises
    ------
    InputError
        For images that differ in grid, and for missing or implausible echo times; the message names file and
        field.
    """
    problems = [] if problems is None else problems
    group = EchoGroup("magnitude", open_volumes(images, folders, problems))
    notes: list[str] = []
    try:
        grid = common_grid([group])
        times, orders = common_echo_times([group], echo_times, notes)
    except InputError as error:
        problems.append(error)
        raise
    distinct = tuple(dict.fromkeys([*notes, *group.notes]))
    return MeseFile(group, grid, times, tuple(orders[0]), distinct)


def read_mese(file: MeseFile) -> MeseLoaded:
    """Read the voxels of an opened series.

    Returns
    -------
    MeseLoaded
        Signal (x, y, z, echo) float32. A voxel that is NaN or infinite in one echo is 0 in all.

    Raises
    ------
    InputError
        For an echo without signal, for more than 5 % unusable values in an echo, and for echoes that do not
        belong together, see :func:`qsmengine.io.alike.check_alike`.
    """
    notes = list(file.notes)
    signal, unknown = read_volumes(file.group.files, file.grid, file.order, notes)
    names = [str(source.path) for source in file.group.files for _ in range(source.n_volumes)]
    check_alike(signal, [names[volume] for volume in file.order], ("echo", "echoes"))
    return MeseLoaded(MeseSeries(signal, file.echo_times, file.grid), notes, unknown)

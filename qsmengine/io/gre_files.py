"""Headers and sidecars of a gradient-echo series, checked before any voxel is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.io._repetitions import Repetitions, divide_repetitions
from qsmengine.io._same_scan import check_same_scan
from qsmengine.io._series import (
    EchoGroup,
    SeriesFile,
    common_echo_times,
    common_field_strength,
    common_grid,
    open_file,
)
from qsmengine.io.header import check_stored_size
from qsmengine.io.inheritance import Folders
from qsmengine.io.phase_units import PhaseUnits, check_units
from qsmengine.records import record

Paths: TypeAlias = str | Path | Sequence[str | Path] | None


@record
class GreFiles:
    """Series on disk with consistent headers and sidecars; the voxels are not read.

    Parameters
    ----------
    groups
        Files of each part, in the given order.
    grid
        Geometry with the field strength.
    echo_times
        [s], ascending.
    orders
        Per group, the position of each of its volumes in `echo_times`, as a permutation.
    notes
        Decisions.
    """

    groups: tuple[EchoGroup, ...]
    grid: Grid
    echo_times: tuple[float, ...]
    orders: tuple[list[int], ...]
    notes: tuple[str, ...]

    @property
    def repetitions(self) -> int:
        """Number of repetitions of its echo in every file."""
        return self.groups[0].files[0].repetitions

    @property
    def sources(self) -> tuple[Path, ...]:
        """Images and their sidecars."""
        return tuple(path for group in self.groups for path in group.sources)

    def echo_names(self, part: int) -> list[str]:
        """Return the file of each echo, in the order of `echo_times`, of a part given by its index."""
        names = [str(file.path) for file in self.groups[part].files for _ in range(file.n_volumes)]
        return [names[volume] for volume in self.orders[part]]


def open_gre(
    magnitude: Paths = None,
    phase: Paths = None,
    *,
    real: Paths = None,
    imag: Paths = None,
    echo_times: Sequence[float] | None = None,
    field_strength: float | None = None,
    phase_units: PhaseUnits | None = None,
    repetitions: Repetitions = None,
    folders: Folders | None = None,
    check_size: bool = False,
    problems: list[InputError] | None = None,
) -> GreFiles:
    """Read headers and sidecars of a series; arguments and errors as in :func:`qsmengine.io.gre.load_gre`.

    Parameters
    ----------
    folders
        Listings shared by calls for many series.
    check_size
        Whether to check for truncated files too.
    problems
        List that receives every problem; the first one is raised.
    """
    problems = [] if problems is None else problems
    start = len(problems)
    groups = _groups(magnitude, phase, real, imag, folders, problems, check_size=check_size)
    _raise_first(problems[start:])
    if repetitions is not None:
        with _collected(problems):
            groups = divide_repetitions(groups, repetitions, echo_times)
        _raise_first(problems[start:])
    notes: list[str] = []
    with _collected(problems):
        grid = common_grid(groups)
    with _collected(problems):
        times, orders = common_echo_times(groups, echo_times, notes)
        notes += check_same_scan(groups, orders)
    with _collected(problems):
        strength = common_field_strength(groups, field_strength, notes)
    for file in groups[-1].files if groups[-1].name == "phase" and phase_units is None else ():
        with _collected(problems):
            check_units(file.sidecar.text("Units"), file.path)
    _raise_first(problems[start:])
    with _collected(problems):
        grid = _with_field_strength(grid, strength, groups)
    _raise_first(problems[start:])
    return GreFiles(tuple(groups), grid, times, tuple(orders), tuple(notes))


@contextmanager
def _collected(problems: list[InputError]) -> Iterator[None]:
    """Catch an InputError of the block for later."""
    try:
        yield
    except InputError as error:
        problems.append(error)


def _raise_first(problems: Sequence[InputError]) -> None:
    if problems:
        raise problems[0]


def _groups(
    magnitude: Paths,
    phase: Paths,
    real: Paths,
    imag: Paths,
    folders: Folders | None,
    problems: list[InputError],
    *,
    check_size: bool,
) -> list[EchoGroup]:
    given = {"magnitude": magnitude, "phase": phase, "real": real, "imag": imag}
    parts = {name: _as_list(paths) for name, paths in given.items()}
    names = [name for name, paths in parts.items() if paths]
    if names not in (["magnitude"], ["magnitude", "phase"], ["real", "imag"]):
        raise UsageError(
            f"parts given: {', '.join(names) or 'none'}; needed are magnitude and phase, real and imag, "
            "or complex files as magnitude"
        )
    groups = []
    for name in names:
        files = []
        for path in parts[name]:
            with _collected(problems):
                files.append(open_file(path, folders))
                _check_complex(name, files[-1], alone=len(names) == 1)
                if check_size:
                    check_stored_size(files[-1].header)
        groups.append(EchoGroup(name, tuple(files)))
    return groups


def _check_complex(name: str, file: SeriesFile, *, alone: bool) -> None:
    if file.header.is_complex != alone:
        problem = "needs phase too" if alone else "is complex: pass it as magnitude alone"
        raise InputError(f"{name} {problem}", source=file.path, field="datatype")


def _as_list(paths: Paths) -> list[Path]:
    if paths is None:
        return []
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]


def _with_field_strength(grid: Grid, field_strength: float, groups: Sequence[EchoGroup]) -> Grid:
    try:
        return grid.replace(field_strength=field_strength)
    except InputError as error:
        raise error.at(groups[0].title) from error

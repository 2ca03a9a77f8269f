"""Consistency of the files of one series: grid, echo times, field strength."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from qsmengine.data import check_echo_times
from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.header import ImageHeader, read_header
from qsmengine.io.inheritance import Folders
from qsmengine.io.sidecars import Sidecar, read_sidecar
from qsmengine.records import record
from qsmengine.units import GAMMA_HZ_PER_T

ECHO_TIME_TOLERANCE = 1e-6
"""Largest difference [s] between echo times of two sidecars that count as equal."""
_FIELD_MAP = re.compile(r"phase_?diff|field.?map|b0.?map|(^|[^a-z])fmap|fm2d", re.IGNORECASE)
_ONE_ECHO = re.compile(r"(^|_)phase[12](\.|$)")
FREQUENCY_RATIO = 1.15
"""Largest ratio of the field strength to that of the imaging frequency; nominal field strengths are rounded."""
FIELD_TOLERANCE = 0.02
"""Largest difference [T] between field strengths that count as equal."""


@record
class SeriesFile:
    """A file of a series before its voxels are read."""

    path: Path
    header: ImageHeader
    grid: Grid
    sidecar: Sidecar
    repetitions: int = 1

    @property
    def n_volumes(self) -> int:
        """Number of 3-D volumes; repetitions of an echo count once."""
        return (self.header.shape[3] if len(self.header.shape) > 3 else 1) // self.repetitions


@record
class EchoGroup:
    """Files of one part ("magnitude", "phase", "real", "imag") in the given order."""

    name: str
    files: tuple[SeriesFile, ...]

    @property
    def n_volumes(self) -> int:
        """Number of echoes."""
        return sum(file.n_volumes for file in self.files)

    @property
    def title(self) -> str:
        """All file names, for messages."""
        return ", ".join(str(file.path) for file in self.files)

    @property
    def sources(self) -> Iterator[Path]:
        """Images and their sidecars."""
        for file in self.files:
            yield file.path
            yield from file.sidecar.files

    @property
    def notes(self) -> Iterator[str]:
        """Notes of headers and sidecars."""
        for file in self.files:
            yield from (f"{file.path}: {note}" for note in file.header.notes)
            yield from file.sidecar.notes


def open_file(path: Path, folders: Folders | None = None) -> SeriesFile:
    """Read a file's header and sidecar; raises InputError for a file of more than four dimensions."""
    header, grid = read_header(path)
    if len(header.shape) > 4:
        raise InputError(
            f"has shape {header.shape}; three or four dimensions are needed", source=path, field="dim"
        )
    return SeriesFile(path, header, grid, read_sidecar(path, folders))


def common_grid(groups: Sequence[EchoGroup]) -> Grid:
    """Return the grid of the first file; raises InputError if grids or numbers of volumes differ."""
    first = groups[0].files[0]
    for group in groups:
        for file in group.files:
            check_same_grid(file.grid, first.grid, file.path, first.path)
        if group.n_volumes != groups[0].n_volumes:
            hint = "; the phase difference of a field map takes one magnitude" if group.n_volumes == 1 else ""
            raise InputError(
                f"{group.n_volumes} volumes, {groups[0].name} has {groups[0].n_volumes}{hint}",
                source=group.title,
                field=group.name,
            )
    return first.grid


def common_echo_times(
    groups: Sequence[EchoGroup], given: Sequence[float] | None, notes: list[str]
) -> tuple[tuple[float, ...], list[list[int]]]:
    """Return echo times [s], ascending, and per group the position of each of its volumes among them.

    `given` overrides the sidecars. A group without echo times follows the first group that has some.
    """
    difference = phase_difference(groups[-1]) if given is None else None
    if difference is not None:
        notes.append(
            f"{groups[-1].title}: phase difference of the echoes at EchoTime1 and EchoTime2; used with their "
            f"difference, {difference:g} s"
        )
        return check_echo_times((difference,)), [[0] for _ in groups]
    own = [_sidecar_times(group, strict=given is None) for group in groups]
    if given is not None:
        times = [float(time) for time in given]
        if len(times) != groups[0].n_volumes:
            raise InputError(
                f"{len(times)} given, there are {groups[0].n_volumes} volumes{_repetitions(groups[0])}",
                field="EchoTime",
            )
        if any(found is not None and not _agree(found, times) for found in own):
            notes.append(f"the given echo times {sorted(times)} s override those of the sidecars")
        own = [times] * len(groups)
    known = next((found for found in own if found is not None), None)
    if known is None:
        _missing(groups, "EchoTime", "give --echo-times (echo_times) in seconds")
    for group, found in zip(groups, own, strict=True):
        if found is not None and not _agree(found, known):
            raise InputError(
                f"{sorted(found)} s here, {sorted(known)} s in the other parts",
                source=group.files[0].path,
                field="EchoTime",
            )
    orders = [sorted(range(len(known)), key=(found or known).__getitem__) for found in own]
    try:
        return check_echo_times(tuple(sorted(known))), orders
    except InputError as error:
        raise error.at(groups[0].title) from error


def phase_difference(group: EchoGroup) -> float | None:
    """Return EchoTime2 - EchoTime1 [s] if the only phase image is the difference of two echoes, else None.

    Converters write both fields for multi-echo series too. An image at EchoTime1 is therefore an echo, and one
    at EchoTime2 is a difference only if its name or description mentions a field map.

    Raises
    ------
    InputError
        For an ambiguous image at EchoTime2, or the phase of a field map without EchoTime1 and EchoTime2.
    """
    if group.name != "phase" or group.n_volumes != 1:
        return None
    sidecar = group.files[0].sidecar
    first, second, own = (sidecar.number(name) for name in ("EchoTime1", "EchoTime2", "EchoTime"))
    names = [sidecar.values.get(name, "") for name in ("SeriesDescription", "ProtocolName", "SequenceName")]
    file = group.files[0].path.name
    named = any(_FIELD_MAP.search(str(text)) for text in (file, *names)) and not _ONE_ECHO.search(file)
    if named and own is not None and first is None and second is None:
        raise InputError(
            f"by its name or description this is the phase of a field map, the difference of two echoes; "
            f"EchoTime, {own:g} s, is that of one of them; add EchoTime1 and EchoTime2 to its sidecar, or give "
            f"the time of the phase with --echo-times: their difference, or {own:g} for the phase of one echo",
            source=group.files[0].path,
            field="EchoTime",
        )
    if first is None or second is None or second <= first or (own is not None and _close(own, first)):
        return None
    if own is None or named:
        return second - first
    raise InputError(
        f"with EchoTime1 {first:g} s and EchoTime2 {second:g} s this is the difference of two echoes or the "
        f"echo at {own:g} s; give --echo-times {second - first:g} for a difference and --echo-times {own:g} "
        "for an echo",
        source=group.files[0].path,
        field="EchoTime2",
    )


def common_field_strength(groups: Sequence[EchoGroup], given: float | None, notes: list[str]) -> float:
    """Return the field strength [T]: `given`, else that of the sidecars; raises InputError if missing."""
    sidecars = [file.sidecar for group in groups for file in group.files]
    if given is not None:
        value = float(given)
        others = [sidecar.values.get("MagneticFieldStrength", value) for sidecar in sidecars]
        if any(other != value for other in others):
            notes.append(f"the given field strength {value:g} T overrides that of the sidecars, {others}")
        return value
    found = [(sidecar, said) for sidecar in sidecars if (said := sidecar.field_strength) is not None]
    if not found:
        _missing(groups, "MagneticFieldStrength", "give --field-strength (field_strength) in tesla")
    first, agreed = found[0]
    for sidecar, other in found:
        if abs(other - agreed) > FIELD_TOLERANCE:
            raise InputError(
                f"{other:g} T, {first.image} has {agreed:g} T",
                source=sidecar.image,
                field="MagneticFieldStrength",
            )
    for sidecar, _ in found:
        _check_proton_frequency(sidecar, agreed)
    return agreed


def _check_proton_frequency(sidecar: Sidecar, field_strength: float) -> None:
    """Raise InputError if ImagingFrequency [MHz] is that of protons in a clearly different field."""
    frequency = sidecar.values.get("ImagingFrequency")
    if not isinstance(frequency, int | float) or sidecar.values.get("ImagedNucleus", "1H") != "1H":
        return
    measured = 1e6 * frequency / GAMMA_HZ_PER_T
    if 0.01 < measured < 30.0 and not 1 / FREQUENCY_RATIO < measured / field_strength < FREQUENCY_RATIO:
        raise InputError(
            f"{field_strength:g} T, but ImagingFrequency {frequency:g} MHz is that of protons at "
            f"{measured:.3g} T; give --field-strength (field_strength) in tesla",
            source=sidecar.image,
            field="MagneticFieldStrength",
        )


def _missing(groups: Sequence[EchoGroup], field: str, remedy: str) -> NoReturn:
    sidecars = [file.sidecar for group in groups for file in group.files]
    places = list(dict.fromkeys(place for sidecar in sidecars for place in sidecar.searched[:-1]))
    beside = list(dict.fromkeys(sidecar.searched[-1] for sidecar in sidecars))
    others = f" and {len(beside) - 1} more next to the images" if len(beside) > 1 else ""
    searched = f"{', '.join([*places, beside[0]])}{others}"
    raise InputError(f"not found; searched {searched}; {remedy}", source=groups[0].files[0].path, field=field)


def _sidecar_times(group: EchoGroup, *, strict: bool) -> list[float] | None:
    try:
        return _strict_times(group)
    except InputError:
        if strict:
            raise
        return None


def _strict_times(group: EchoGroup) -> list[float] | None:
    per_file = [file.sidecar.numbers("EchoTime") for file in group.files]
    if all(times is None for times in per_file):
        return None
    flat: list[float] = []
    for file, times in zip(group.files, per_file, strict=True):
        if times is None:
            file.sidecar.missing(
                "EchoTime", "other files of the series have one; give --echo-times (echo_times) in seconds"
            )
        if len(times) != file.n_volumes:
            raise InputError(
                f"{len(times)} echo times for {file.n_volumes} volumes"
                f"{_repetitions(group) or '; give echo_times in seconds'}",
                source=file.sidecar.origin["EchoTime"],
                field="EchoTime",
            )
        flat += times
    if max(flat) > 1.0:
        try:
            check_echo_times(tuple(flat))
        except InputError as error:
            raise error.at(group.files[0].sidecar.origin["EchoTime"]) from error
    return flat


def _repetitions(group: EchoGroup) -> str:
    """Suggest a remedy for one-echo files with several volumes; empty for others."""
    counts = {file.n_volumes for file in group.files}
    if len(group.files) < 2 or len(counts) > 1 or counts == {1}:
        return ""
    return (
        f": each of the {len(group.files)} files holds {counts.pop()} repetitions of one echo; "
        "input.repetitions=average averages them, input.repetitions=1 takes the first"
    )


def _agree(times: Sequence[float], others: Sequence[float]) -> bool:
    pairs = zip(sorted(times), sorted(others), strict=False)
    return len(times) == len(others) and all(_close(a, b) for a, b in pairs)


def _close(time: float, other: float) -> bool:
    return abs(time - other) <= ECHO_TIME_TOLERANCE

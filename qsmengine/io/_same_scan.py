"""Whether files that are given as one series belong to one scan, by their names and sidecars."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from qsmengine.errors import InputError
from qsmengine.io._series import EchoGroup, SeriesFile
from qsmengine.io.bids import BidsName
from qsmengine.io.inheritance import image_stem

APART = 30.0
"""Difference of acquisition times [s] from which magnitude and phase of an echo are not of one scan."""
_DAY = 86400.0
_CLOCK = re.compile(r"(\d{1,2}):?(\d{2}):?(\d{2}(?:\.\d*)?)")
_PERSON = (("sub", "participants"), ("ses", "sessions"))
_FIELDS = (("PatientID", "patients"), ("StudyInstanceUID", "visits"))


def check_same_scan(groups: Sequence[EchoGroup], orders: Sequence[Sequence[int]]) -> list[str]:
    """Check that files are of one participant and visit; return notes on parts acquired at different times.

    Parameters
    ----------
    groups
        Files of each part.
    orders
        Per part, the position of each volume among the echo times.

    Raises
    ------
    InputError
        For BIDS names with different ``sub`` or ``ses``, and sidecars with a different PatientID or
        StudyInstanceUID.
    """
    files = [file for group in groups for file in group.files]
    for entity, what in _PERSON:
        _check_equal([(file, _entities(file).get(entity)) for file in files], entity, what)
    for field, what in _FIELDS:
        _check_equal([(file, file.sidecar.values.get(field)) for file in files], field, what)
    return list(dict.fromkeys(_apart(groups, orders))) if len(groups) > 1 else []


def _check_equal(values: Sequence[tuple[SeriesFile, object]], field: str, what: str) -> None:
    known = [(file, value) for file, value in values if value is not None]
    for file, value in known:
        if value != known[0][1]:
            raise InputError(
                f"not that of {known[0][0].path}: these images are of different {what}; give those of one scan",
                source=file.path,
                field=field,
            )


def _apart(groups: Sequence[EchoGroup], orders: Sequence[Sequence[int]]) -> Iterator[str]:
    """Yield notes on echoes whose parts have different acquisition times or, without those, different runs."""
    by_echo = [_of_echoes(group, order) for group, order in zip(groups, orders, strict=True)]
    for echo, (one, other) in enumerate(zip(by_echo[0], by_echo[-1], strict=True), start=1):
        names = f"{groups[0].name} and {groups[-1].name} of echo {echo}"
        times = [_seconds(file.sidecar.values.get("AcquisitionTime")) for file in (one, other)]
        if times[0] is not None and times[1] is not None:
            away = abs(times[0] - times[1])
            away = min(away, _DAY - away)
            if away > APART:
                yield (
                    f"{names} were acquired {away:.0f} s apart (AcquisitionTime of {one.path} and "
                    f"{other.path}): they are probably of different scans, and the maps are wrong"
                )
            continue
        runs = [_entities(file).get("run") for file in (one, other)]
        if None not in runs and runs[0] != runs[1]:
            yield f"{names} are called run-{runs[0]} and run-{runs[1]}: check that they are of one scan"


def _of_echoes(group: EchoGroup, order: Sequence[int]) -> list[SeriesFile]:
    """Return the file of each echo, in the order of the echo times."""
    volumes = [file for file in group.files for _ in range(file.n_volumes)]
    return [volumes[index] for index in order]


def _entities(file: SeriesFile) -> dict[str, str]:
    """Return the entities of a BIDS name, none for another name."""
    with suppress(InputError):
        return dict(BidsName.parse(image_stem(file.path.name)).entities)
    return {}


def _seconds(clock: object) -> float | None:
    """Return a time of day, such as "10:20:31.5", in seconds."""
    match = _CLOCK.fullmatch(str(clock)) if clock is not None else None
    if match is None:
        return None
    hours, minutes, seconds = map(float, match.groups())
    return 3600 * hours + 60 * minutes + seconds

"""Time between the frames of a bolus series, and times of its slices, from sidecars and headers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsmengine.data import check_repetition_time
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray
from qsmengine.io._series import SeriesFile

SAME = 0.01
"""Relative difference up to which two times between frames count as equal."""
UNKNOWN = 1.0
"""pixdim[4] [s] that programs write if they do not know the time between frames."""
REMEDY = "give --tr (repetition_time), the time between frames in seconds"


def repetition_time_of(files: Sequence[SeriesFile], given: float | None, notes: list[str]) -> float:
    """Return the time between frames [s]: `given`, else that of the sidecars, else that of the header.

    Raises
    ------
    InputError
        If nothing states it, if sources contradict each other, or for an implausible value.
    """
    if given is not None:
        time = check_repetition_time(given)
        _note_overridden(files, time, notes)
        return time
    found = [(file, own) for file in files if (own := _from_sidecar(file)) is not None]
    for file, own in found[1:]:
        if not _same(own, found[0][1]):
            raise InputError(
                f"{own:g} s, {found[0][0].path} has {found[0][1]:g} s; {REMEDY}",
                source=file.path,
                field="RepetitionTime",
            )
    if found:
        _check_against_header(*found[0], notes)
        return found[0][1]
    first, stated = files[0], files[0].header.frame_time
    if stated is None or stated == UNKNOWN:
        what = "states no time" if stated is None else "is 1 s, the value of programs that do not know it"
        first.sidecar.missing("RepetitionTime", f"pixdim[4] of the header {what}; {REMEDY}")
    notes.append(f"{first.path}: RepetitionTime: not in the sidecar; {stated:g} s from pixdim[4] of the header")
    return _checked(stated, first, "pixdim[4]")


def slice_times_of(file: SeriesFile, repetition_time: float, notes: list[str]) -> FloatArray | None:
    """Return the times (z,) [s] of the slices after the beginning of a frame; None if the sidecar has none.

    Raises
    ------
    InputError
        For times that do not match the slices or lie outside a frame.
    """
    times = file.sidecar.numbers("SliceTiming")
    if times is None:
        return None
    origin, axis = file.sidecar.origin["SliceTiming"], file.sidecar.text("SliceEncodingDirection") or "k"
    if axis not in {"k", "k-"}:
        notes.append(
            f"{origin}: SliceTiming: slices along {axis}, not the third axis; slice timing is not used"
        )
        return None
    count = file.grid.shape[2]
    if len(times) != count:
        raise InputError(f"{len(times)} times for {count} slices", source=origin, field="SliceTiming")
    latest = max(times)
    if min(times) < 0 or latest > repetition_time * (1.0 + SAME):
        hint = "; it is in seconds, not milliseconds" if latest / 1e3 <= repetition_time < latest else ""
        raise InputError(
            f"{min(times):g} .. {latest:g} s lies outside a frame of {repetition_time:g} s{hint}",
            source=origin,
            field="SliceTiming",
        )
    return np.asarray(times if axis == "k" else times[::-1], dtype=np.float64)


def _from_sidecar(file: SeriesFile) -> float | None:
    """Return the time between frames [s] from RepetitionTime or VolumeTiming; None if neither is there."""
    time = file.sidecar.number("RepetitionTime")
    starts = file.sidecar.numbers("VolumeTiming") or file.sidecar.numbers("FrameTimesStart")
    if starts is None or len(starts) < 2:
        return None if time is None else _checked(time, file, "RepetitionTime")
    field = "VolumeTiming" if "VolumeTiming" in file.sidecar.values else "FrameTimesStart"
    steps = np.diff(starts)
    step = float(steps.mean())
    if not (steps > 0).all() or float(np.abs(steps - step).max()) > SAME * step:
        raise InputError(
            f"frames are {steps.min():g} to {steps.max():g} s apart; equally spaced frames are needed",
            source=file.sidecar.origin[field],
            field=field,
        )
    if time is not None and not _same(time, step):
        raise InputError(
            f"{time:g} s, but {field} has frames {step:g} s apart; {REMEDY}",
            source=file.sidecar.origin["RepetitionTime"],
            field="RepetitionTime",
        )
    return _checked(step, file, field)


def _check_against_header(file: SeriesFile, time: float, notes: list[str]) -> None:
    """Raise InputError if the header contradicts the sidecar."""
    stated = file.header.frame_time
    if stated is None or _same(stated, time):
        return
    if stated == UNKNOWN:
        notes.append(f"{file.path}: pixdim[4]: 1 s ignored; the sidecar has RepetitionTime {time:g} s")
        return
    raise InputError(
        f"{time:g} s in the sidecar, but pixdim[4] of the header is {stated:g} s; {REMEDY}",
        source=file.path,
        field="RepetitionTime",
    )


def _note_overridden(files: Sequence[SeriesFile], time: float, notes: list[str]) -> None:
    for file in files:
        other = file.sidecar.values.get("RepetitionTime")
        if isinstance(other, int | float) and not _same(other, time):
            notes.append(
                f"{file.path}: the given {time:g} s between frames override RepetitionTime {other:g} s"
            )


def _checked(time: float, file: SeriesFile, field: str) -> float:
    try:
        return check_repetition_time(time)
    except InputError as error:
        source = file.sidecar.origin.get(field, file.path)
        raise InputError(f"{error.message}; {REMEDY}", source=source, field=field) from error


def _same(first: float, second: float) -> bool:
    return abs(first - second) <= SAME * abs(second)

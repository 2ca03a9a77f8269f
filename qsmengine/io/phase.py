"""Conversion of stored phase to radians; its units are recognised from the values, never by a min-max stretch.

A range is accepted if the series reaches both ends to within a tenth, as wrapped phase does; milliradians must
reach them to within 0.5 %, since Siemens units without wraps may span as much. One rule applies to all files
of a series; slopes may differ between files. Other ranges are converted on request only.
The ranges are those of :mod:`qsmengine.io.phase_units`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.io.header import ImageHeader
from qsmengine.io.in_parallel import in_parallel
from qsmengine.io.nifti import scale_stored
from qsmengine.io.phase_units import OVERRIDE, RANGES, STORED, PhaseRange, PhaseUnits, check_units, range_of
from qsmengine.memory_order import PLANES, copy
from qsmengine.records import record


@record
class PhaseFile:
    """Phase image as stored: voxels without slope and intercept, header, and Units of the sidecar."""

    stored: Array
    header: ImageHeader
    declared_units: str | None = None


@record
class _Span:
    """Smallest and largest finite value of a file, stored and scaled."""

    name: str
    stored: tuple[float, float]
    scaled: tuple[float, float]


def phase_to_radians(
    files: Sequence[PhaseFile], *, units: PhaseUnits | None = None, sign: int = 1
) -> tuple[list[npt.NDArray[np.float32]], list[str]]:
    """Convert the phase of a series to radians, by one rule for all its files.

    Parameters
    ----------
    files
        The images of one series.
    units
        Override of the detection; the values must still lie in that range.
    sign
        -1 for scanners whose phase decreases with increasing field (GE, some Philips).

    Returns
    -------
    list of arrays, notes
        float32 [rad] in [-pi, pi], Fortran order, stored NaN kept; decisions.

    Raises
    ------
    InputError
        For constant phase, an unknown range, files with different ranges, or values that contradict `units` or
        the sidecar's Units.
    """
    rule, notes = _rule(files, units, sign)
    return in_parallel(lambda file: _apply(file.stored, file.header, rule, sign), files), notes


def place_radians(
    files: Sequence[PhaseFile],
    places: Sequence[Sequence[Array]],
    *,
    units: PhaseUnits | None = None,
    sign: int = 1,
) -> list[str]:
    """Convert the phase of a series as :func:`phase_to_radians` does, without memory for another copy of it.

    Parameters
    ----------
    files, units, sign
        As for :func:`phase_to_radians`.
    places
        For each file, arrays (x, y, z) float32 in any order that receive its volumes.

    Returns
    -------
    list of str
        Decisions.
    """
    rule, notes = _rule(files, units, sign)

    def place(which: int) -> None:
        file = files[which]
        volumes = np.moveaxis(file.stored, 3, 0) if file.stored.ndim > 3 else [file.stored]
        for volume, target in zip(volumes, places[which], strict=True):
            for start in range(0, volume.shape[2], PLANES):
                planes = (slice(None), slice(None), slice(start, start + PLANES))
                copy(target[planes], _apply(volume[planes], file.header, rule, sign))

    in_parallel(place, range(len(files)))
    return notes


def _rule(files: Sequence[PhaseFile], units: PhaseUnits | None, sign: int) -> tuple[PhaseRange, list[str]]:
    """Return the rule for all files, and notes."""
    if sign not in {1, -1}:
        raise InputError(f"{sign} is neither 1 nor -1", field="phase_sign")
    spans = [_span(file) for file in files]
    rule = _override(units, spans) if units is not None else _detect(files, spans)
    notes = [f"phase: {_text(_union(spans, rule))} taken as {rule.meaning}"]
    if sign == -1:
        notes.append("phase: sign reversed on request")
    return rule, notes


def detect_units(files: Sequence[PhaseFile]) -> PhaseUnits:
    """Return the known range of a series' phase; raises InputError as :func:`phase_to_radians` does."""
    return _detect(files, [_span(file) for file in files]).units


def _apply(stored: Array, header: ImageHeader, rule: PhaseRange, sign: int) -> npt.NDArray[np.float32]:
    slope, intercept = (1.0, 0.0) if rule is STORED else (header.slope, header.intercept)
    factor = sign * rule.factor
    phase: npt.NDArray[Any] = scale_stored(stored, slope * factor, (intercept - rule.zero) * factor)
    if rule.units == "rad-0-2pi":
        return np.where(np.abs(phase) > np.float32(math.pi), phase - np.float32(sign * 2 * math.pi), phase)
    return phase


def _span(file: PhaseFile) -> _Span:
    name = str(file.header.path)
    stored = _extent(file.stored)
    if stored is None:
        raise InputError("no finite phase value", source=name)
    volumes = file.stored.shape[3] if file.stored.ndim > 3 else 1
    for volume in range(volumes):
        extent = _extent(file.stored[..., volume]) if volumes > 1 else stored
        if extent is None or extent[0] == extent[1]:
            value = "without a finite value" if extent is None else f"constant ({extent[0]:g})"
            where = f"volume {volume + 1}" if volumes > 1 else "every voxel"
            raise InputError(f"phase is {value} in {where}: no signal", source=name)
    ends = sorted(file.header.slope * value + file.header.intercept for value in stored)
    return _Span(name, stored, (ends[0], ends[1]))


def _extent(values: Array) -> tuple[float, float] | None:
    low, high = float(values.min()), float(values.max())
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def _detect(files: Sequence[PhaseFile], spans: Sequence[_Span]) -> PhaseRange:
    """Return one rule for all files: those that fill a range must agree, and the others must lie within it."""
    declared = [file.declared_units for file in files]
    found = [_filled(span) for span in spans]
    rules = {rule.units: rule for rule in found if rule is not None}
    if len(rules) > 1:
        parts = "; ".join(f"{s.name} {_text(s.scaled)}" for s in spans)
        raise InputError(f"files of one series have phase in different units: {parts}", field="Units")
    if rules:
        rule = next(iter(rules.values()))
    elif "rad" in declared:
        rule = RANGES["rad"]
    else:
        raise InputError(
            f"phase values span {_text(_join([s.scaled for s in spans]))} (stored "
            f"{_text(_join([s.stored for s in spans]))}), none of the known ranges; {OVERRIDE}",
            source=spans[0].name,
            field="Units",
        )
    for span, unit in zip(spans, declared, strict=True):
        _check_declared(span, unit, rule)
        values = _values(span, rule)
        if not rule.contains(*values) or (
            unit != "rad" and values[1] - values[0] < 0.05 * (rule.high - rule.low)
        ):
            raise InputError(
                f"phase values span {_text(values)}, but the series is in {rule.units}; {OVERRIDE}",
                source=span.name,
                field="Units",
            )
    return rule


def _filled(span: _Span) -> PhaseRange | None:
    for rule in RANGES.values():
        if rule.is_filled_by(*span.scaled):
            return rule
    return STORED if STORED.is_filled_by(*span.stored) else None


def _check_declared(span: _Span, unit: str | None, rule: PhaseRange) -> None:
    if unit == "rad" and rule.units not in {"rad", "rad-0-2pi", "stored-rad"}:
        raise InputError(
            f"the sidecar's unit is rad, but the values span {_text(span.scaled)}, which is {rule.units}; "
            f"correct the sidecar or {OVERRIDE}",
            source=span.name,
            field="Units",
        )
    check_units(unit, span.name)


def _override(units: PhaseUnits, spans: Sequence[_Span]) -> PhaseRange:
    rule = range_of(units)
    if rule is None:
        raise InputError(f"{units!r} is unknown; {OVERRIDE}", field="phase_units")
    for span in spans:
        values = _values(span, rule)
        if not rule.contains(*values):
            raise InputError(
                f"phase values span {_text(values)}, outside {_text((rule.low, rule.high))} of {units}",
                source=span.name,
                field="phase_units",
            )
    return rule


def _values(span: _Span, rule: PhaseRange) -> tuple[float, float]:
    return span.stored if rule is STORED else span.scaled


def _union(spans: Sequence[_Span], rule: PhaseRange) -> tuple[float, float]:
    return _join([_values(span, rule) for span in spans])


def _join(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in pairs), max(high for _, high in pairs)


def _text(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.6g} .. {pair[1]:.6g}"

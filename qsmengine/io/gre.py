"""Loading of multi-echo gradient-echo series: magnitude and phase, real and imaginary, or complex files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array, GreSeries
from qsmengine.errors import InputError
from qsmengine.io._clean import clear_unknown, zero_negative
from qsmengine.io._complex_parts import check_complex_parts
from qsmengine.io._parts import read_part
from qsmengine.io._repetitions import Repetitions, average_repetitions
from qsmengine.io._series import EchoGroup, SeriesFile
from qsmengine.io.echo_order import check_order
from qsmengine.io.filtered_phase import filtered_notes
from qsmengine.io.gre_files import GreFiles, Paths, open_gre
from qsmengine.io.in_parallel import in_parallel
from qsmengine.io.mirrored_phase import check_mirrored_phase
from qsmengine.io.nifti import read_image, read_stored
from qsmengine.io.orientation import check_orientation
from qsmengine.io.phase import PhaseFile, place_radians
from qsmengine.io.phase_units import PhaseUnits
from qsmengine.io.slices import correct_slices

CLIPPED = 0.005
"""Fraction of the object at the largest magnitude above which the image counts as clipped."""
FLAT = 0.5
"""Fraction at the largest magnitude above which the object itself is uniform, as in simulations."""


@dataclass(frozen=True)
class GreLoaded:
    """Series, decisions made while loading it, and its source files."""

    series: GreSeries
    notes: list[str]
    sources: tuple[Path, ...]


def load_gre(
    magnitude: Paths = None,
    phase: Paths = None,
    *,
    real: Paths = None,
    imag: Paths = None,
    echo_times: Sequence[float] | None = None,
    field_strength: float | None = None,
    phase_sign: int = 1,
    phase_units: PhaseUnits | None = None,
    slice_alternation: bool | None = None,
    repetitions: Repetitions = None,
) -> GreLoaded:
    """Load a gradient-echo series; echoes are ordered by echo time.

    Parameters
    ----------
    magnitude, phase
        Several 3-D files or one 4-D file each. Complex files are given as `magnitude` alone.
    real, imag
        Instead of magnitude and phase.
    echo_times
        [s], one per volume in the given order; overrides the sidecars.
    field_strength
        [T]; overrides the sidecars.
    phase_sign
        -1 if the scanner's phase decreases with increasing field.
    phase_units
        Override of the detection in :func:`qsmengine.io.phase.phase_to_radians`.
    slice_alternation
        Whether the phase of every second slice is off by pi and must be corrected; None: decided from the
        images (see :mod:`qsmengine.io.slices`).
    repetitions
        For files with repetitions of one echo: "average" aligns and averages them (see
        :mod:`qsmengine.io._repetitions`); a number, from 1, selects one. None: repetitions are refused.

    Returns
    -------
    GreLoaded
        Arrays (x, y, z, echo), views of C-contiguous float32 (echo, x, y, z), phase [rad]. A voxel that is NaN
        or infinite in one echo is 0 in all, and `series.unknown` marks it.

    Raises
    ------
    InputError
        For a missing echo time or field strength, different grids, equal echo times, an unknown phase range, no
        signal, an echo or the phase that is mirrored, given echo times in another order than the files, or more
        than 5 % of the object unusable in an echo; the message names file and field.
    UsageError
        For an invalid combination of parts.
    """
    if phase_sign not in {1, -1}:
        raise InputError(f"{phase_sign} is neither 1 nor -1", field="phase_sign")
    files = open_gre(
        magnitude,
        phase,
        real=real,
        imag=imag,
        echo_times=echo_times,
        field_strength=field_strength,
        phase_units=phase_units,
        repetitions=repetitions,
    )
    notes = list(files.notes)

    def load(repetition: int) -> tuple[Array, Array, npt.NDArray[np.bool_] | None]:
        magnitudes, phases = _arrays(files, repetition, phase_units, phase_sign, notes)
        unknown = check_signal(magnitudes, phases, (files.groups[0].title, files.groups[-1].title), notes)
        correct_slices(magnitudes, phases, slice_alternation, notes)
        names = files.echo_names(0), files.echo_names(-1)
        check_mirrored_phase(magnitudes[..., 0], phases[..., 0], names[1])
        notes.extend(filtered_notes(magnitudes[..., -1], phases[..., -1], names[1][-1]))
        if len(files.echo_times) > 1:
            check_orientation(magnitudes, phases, *names)
            if echo_times is not None:
                check_order(magnitudes, phases, *names)
        return magnitudes, phases, unknown

    if repetitions == "average":
        arrays = average_repetitions(load, files.repetitions, files.echo_times, notes)
    else:
        arrays = load(0 if repetitions is None else repetitions - 1)
        if repetitions is not None:
            notes.append(f"repetition {repetitions} of {files.repetitions} is used")
    _note_vendor(files.groups, phase_sign, notes)
    for group in files.groups:
        notes += group.notes
    magnitudes, phases, unknown = arrays
    series = GreSeries(magnitudes, phases, files.echo_times, files.grid, unknown)
    return GreLoaded(series, list(dict.fromkeys(notes)), files.sources)


def _arrays(
    files: GreFiles, repetition: int, units: PhaseUnits | None, sign: int, notes: list[str]
) -> tuple[Array, Array]:
    """Load magnitude and phase (x, y, z, echo) of one repetition, counted from 0."""
    groups, orders = files.groups, files.orders
    shape = (*files.grid.shape, len(files.echo_times))
    if groups[-1].name == "phase":
        whole = tuple(slice(0, n) for n in files.grid.shape)
        plain = read_part(groups[0].files, orders[0], whole) if files.repetitions == 1 else None
        magnitudes = _stack(_magnitudes(groups[0], repetition), orders[0], shape) if plain is None else plain
        return magnitudes, _phases(groups[1], orders[1], repetition, units, sign, notes)
    signal = _from_complex(groups, repetition, orders, shape)
    return np.abs(signal), np.angle(signal) * np.float32(sign)


def _magnitudes(group: EchoGroup, repetition: int, dtype: npt.DTypeLike = np.float32) -> list[Array]:
    arrays = in_parallel(lambda file: read_image(file.path, dtype=dtype).array, group.files)
    return _volumes([_chosen(array, file, repetition) for array, file in zip(arrays, group.files, strict=True)])


def _chosen(array: Array, file: SeriesFile, repetition: int) -> Array:
    """Return the volumes of a file, or only that of one repetition if the file contains several."""
    return array[..., repetition] if file.repetitions > 1 else array


def _phases(
    group: EchoGroup, order: list[int], repetition: int, units: PhaseUnits | None, sign: int, notes: list[str]
) -> Array:
    """Load the phase (x, y, z, echo) [rad] of one repetition, volumes placed by `order`."""
    images = in_parallel(lambda file: read_stored(file.path), group.files)
    files = [
        PhaseFile(_chosen(stored.array, file, repetition), stored.header, file.sidecar.text("Units"))
        for stored, file in zip(images, group.files, strict=True)
    ]
    phase = _empty((*group.files[0].grid.shape, len(order)), np.float32)
    counts = [file.stored.shape[3] if file.stored.ndim > 3 else 1 for file in files]
    starts = np.cumsum([0, *counts[:-1]]).tolist()
    places = [
        [phase[..., order.index(start + k)] for k in range(count)]
        for start, count in zip(starts, counts, strict=True)
    ]
    notes += place_radians(files, places, units=units, sign=sign)
    return phase


def _from_complex(
    groups: Sequence[EchoGroup], repetition: int, orders: Sequence[list[int]], shape: tuple[int, ...]
) -> Array:
    if len(groups) == 1:
        return _stack(_magnitudes(groups[0], repetition, np.complex64), orders[0], shape, np.complex64)
    signal = _empty(shape, np.complex64)
    signal.real = _stack(_magnitudes(groups[0], repetition), orders[0], shape)
    signal.imag = _stack(_magnitudes(groups[1], repetition), orders[1], shape)
    check_complex_parts(signal, [group.title for group in groups])
    return signal


def _volumes(arrays: Sequence[Array]) -> list[Array]:
    """Return the 3-D volumes of arrays (x, y, z) or (x, y, z, volume), in order."""
    return [volume for array in arrays for volume in (np.moveaxis(array, 3, 0) if array.ndim > 3 else [array])]


def _empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return an array (x, y, z, echo) in which every echo is contiguous."""
    return np.moveaxis(np.empty((shape[3], *shape[:3]), dtype), 0, 3)


def _stack(
    volumes: Sequence[Array], order: list[int], shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32
) -> Array:
    """Stack 3-D volumes (x, y, z) in one array, the i-th at the position of i in `order`."""
    out = _empty(shape, dtype)

    def place(index: int) -> None:
        target, volume = out[..., order.index(index)], volumes[index]
        for y in range(shape[1]):  # such a part of both fits into the cache, whichever axis is contiguous
            target[:, y] = volume[:, y]

    in_parallel(place, range(len(volumes)))
    return out


def _note_vendor(groups: Sequence[EchoGroup], sign: int, notes: list[str]) -> None:
    makers = (file.sidecar.text("Manufacturer") or "" for group in groups for file in group.files)
    if sign == 1 and any(maker.strip().upper().startswith("GE") for maker in makers):
        notes.append(
            "phase: images of GE scanners often have the opposite sign; if iron-rich nuclei and veins are "
            "negative, set input.phase_sign=-1"
        )


def check_signal(
    magnitude: Array, phase: Array, titles: tuple[str, str], notes: list[str]
) -> npt.NDArray[np.bool_] | None:
    """Clean a series (x, y, z, echo) in place; return the voxels without usable values, None if there are none.

    `titles` name magnitude and phase in messages. A voxel that is not finite in one echo becomes 0 in all.

    Raises
    ------
    InputError
        For an echo without signal, or with too many unusable voxels.
    """
    parts = [("magnitude", magnitude, titles[0]), ("phase", phase, titles[1])]
    unknown = clear_unknown(parts, "echo", notes)
    zero_negative(magnitude, "magnitude", titles[0], notes)

    def check(echo: int) -> tuple[float, list[str]]:
        if not magnitude[..., echo].any():
            raise InputError(f"every value of echo {echo + 1} is 0: no signal", source=titles[0])
        if not np.ptp(phase[..., echo]) > 0.0:
            raise InputError(f"phase of echo {echo + 1} is constant: no signal", source=titles[1])
        largest = float(magnitude[..., echo].max())
        return largest, _clipped_notes(magnitude[..., echo], largest, echo + 1, titles[0])

    checked = list(in_parallel(check, range(magnitude.shape[3])))
    notes += [note for _, found in checked for note in found]
    notes += _scale_notes(magnitude, [largest for largest, _ in checked], titles[0])
    return unknown


def _scale_notes(magnitude: Array, largest: Sequence[float], source: str) -> list[str]:
    """Return a note if the echoes (x, y, z, echo) have one magnitude, or all have the same largest value."""
    if len(largest) < 2 or len(set(largest)) > 1:
        return []
    if np.array_equal(magnitude[..., 0], magnitude[..., -1]):
        return [f"{source}: first and last echo have the same magnitude: R2* is 0, not measured"]
    reason = "each was probably scaled separately, and R2*, T2* and S0 are then wrong"
    return [f"{source}: the largest magnitude of every echo is {largest[0]:g}: {reason}"]


def _clipped_notes(magnitude: Array, largest: float, echo: int, source: str) -> list[str]:
    """Return a note if many voxels of an echo (x, y, z) share the largest value: it was clipped."""
    top, inside = np.count_nonzero(magnitude == largest), np.count_nonzero(magnitude > largest / 10)
    if not CLIPPED * inside < top < FLAT * inside:
        return []
    note = (
        f"{source}: {top} voxels ({100 * top / inside:.1f} % of the object) of echo {echo} have the "
        f"largest magnitude, {largest:g}: clipped; relaxation and weights are wrong in them"
    )
    return [note]

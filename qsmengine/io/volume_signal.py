"""Comparison of a diffusion series' signal, volume by volume, with what its table says.

Scanners and converters append maps to a series (an ADC map with b = 0), lose volumes (all 0), or shift the
table against the image. The mean signal of an object then contradicts the b-values. Series that were
put together from several files may be stored in different orientations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qsmengine.data import B0_THRESHOLD, SHELL_WIDTH, Array
from qsmengine.errors import InputError
from qsmengine.io.dwi import DwiFile
from qsmengine.io.orientation import central_part, mirrored_axes

_ALIKE = 0.6
"""Least ratio of the signals of two volumes with b = 0."""
_BRIGHTER = 1.4
"""Largest ratio of the signal of a weighted volume to that at b = 0."""
_EMPTY = 1e-3
"""Ratio to the other volumes' signal below which a volume is empty."""
_SAMPLES = 24
"""Voxels along each axis that represent the object."""
_SHOWN = 3
"""Number of weighted volumes whose mean shows their orientation."""
_NEGATIVE = 0.05
"""Fraction of negative values in the object from which a note is added."""


def check_volumes(
    file: DwiFile, volumes: npt.NDArray[np.intp], part_of: Callable[[int, tuple[slice, ...]], Array]
) -> list[str]:
    """Check the signal of the `volumes` to fit; return notes.

    Parameters
    ----------
    file
        The opened series.
    volumes
        Indices of the volumes.
    part_of
        Returns the signal of a part of the i-th of `volumes`, finite.

    Raises
    ------
    InputError
        For a volume without signal, volumes with b = 0 of different brightness, a weighted volume brighter than
        b = 0, which the message names with how to leave them out; for weighted volumes that are mirror images.
    """
    part = tuple(map(_thinned, central_part(file.grid.shape)))
    parts = [part_of(index, part).T for index in range(len(volumes))]  # files store x as the fastest axis
    signals = np.stack(parts).reshape(len(volumes), -1)
    b_values = file.b_values[volumes]
    unweighted = b_values <= B0_THRESHOLD
    if unweighted.all():
        return []  # the fit refuses it
    chosen = unweighted if unweighted.any() else ~unweighted
    reference: Array = signals[chosen].mean(axis=0, dtype=np.float64)
    bright = np.sort(reference[reference > 0])
    if not bright.size:
        return []
    inside = np.flatnonzero(reference > 0.5 * bright[int(0.9 * (bright.size - 1))])
    objects = signals.take(inside, axis=1)
    means = objects.mean(axis=1, dtype=np.float64)
    numbers = volumes + 1
    if (means < 0).any():
        _refuse(file, numbers[means < 0], "a negative mean signal in the object: an offset was subtracted")
    empty = means <= _EMPTY * _median(means)
    if empty.any():
        _refuse(file, numbers[empty], "no signal in the object")
    _check_unweighted(file, numbers[unweighted], means[unweighted])
    if unweighted.any():
        brighter = ~unweighted & (means > _BRIGHTER * _median(means[unweighted]))
        if brighter.any():
            problem = "b > 0, but more signal than at b = 0: the table may not match the image"
            _refuse(file, numbers[brighter], problem)
        _check_mirrored(file, b_values, part_of)
    share = np.count_nonzero(objects < 0) / objects.size
    if share <= _NEGATIVE:
        return []
    return [f"{file.path}: {share:.0%} of the object's values are negative; diffusivities are unreliable there"]


def _thinned(indices: slice) -> slice:
    """Return every n-th of the indices, so that _SAMPLES remain at most."""
    step = -(-(indices.stop - indices.start) // (indices.step * _SAMPLES))
    return slice(indices.start, indices.stop, indices.step * max(step, 1))


def _check_unweighted(file: DwiFile, numbers: npt.NDArray[np.intp], means: Array) -> None:
    """Raise InputError if volumes with b = 0 differ in signal; a pair does not show which one is wrong."""
    if len(means) < 2:
        return
    typical = _median(means) if len(means) > 2 else float(means.max())
    odd = (means < _ALIKE * typical) | (means * _ALIKE > typical)
    if odd.any():
        margin = f"by more than {1 / _ALIKE - 1:.0%}"
        if len(means) == 2:
            _refuse(file, numbers, f"b = 0, but signals that differ {margin}")
        _refuse(file, numbers[odd], f"b = 0, but a signal that differs from the others' {margin}")


def _check_mirrored(
    file: DwiFile, b_values: npt.NDArray[np.float64], part_of: Callable[[int, tuple[slice, ...]], Array]
) -> None:
    """Raise InputError if the first weighted volumes of the lowest shell are mirrored against b = 0."""
    weighted = np.flatnonzero(b_values > B0_THRESHOLD)
    lowest = weighted[b_values[weighted] <= (1 + SHELL_WIDTH) * b_values[weighted].min()]
    part = central_part(file.grid.shape)
    plain = part_of(int(np.argmin(b_values)), part).astype(np.float32)
    shown = [part_of(index, part).astype(np.float32) for index in lowest[:_SHOWN].tolist()]
    axes = mirrored_axes(plain, np.mean(shown, axis=0))
    if axes:
        raise InputError(
            f"the volumes with b > 0 are mirrored along {', '.join('xyz'[axis] for axis in axes)} of the array "
            "against those with b = 0; store all volumes in the same orientation",
            source=file.path,
            field="affine",
        )


def _median(values: Array) -> float:
    """Return the median; NumPy's imports masked arrays."""
    ordered = np.sort(values)
    return float(ordered[(values.size - 1) // 2] + ordered[values.size // 2]) / 2


def _refuse(file: DwiFile, numbers: npt.NDArray[np.intp], problem: str) -> None:
    listed = ",".join(map(str, numbers.tolist()))
    who = f"volume {listed} has" if len(numbers) == 1 else f"volumes {listed} have"
    raise InputError(
        f"{who} {problem}; `dti --exclude-volumes` leaves out volumes that do not belong",
        source=file.path,
        field="bval",
    )

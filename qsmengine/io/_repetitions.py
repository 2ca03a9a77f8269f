"""Repetitions of a gradient-echo series: files of one echo each with several volumes.

Between repetitions the transmitter's phase and the main field drift. Repetition r is aligned with the first
before the complex signals S are averaged:

    S = mean_r S_r exp(-i d_r),  d_r(e) = arg sum_x S_r(x, e) conj(S_0(x, e)),

which removes any phase that is uniform in space, whether constant or growing with echo time. The noise falls as
1 / sqrt(number of repetitions).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.io._series import EchoGroup

Repetitions: TypeAlias = Literal["average"] | int | None
"""Use of repetitions: their average, one of them by number (from 1), or None: they are refused."""

COHERENT = 0.9
"""Coherence with the first repetition below which a note is added."""


def divide_repetitions(
    groups: Sequence[EchoGroup], wanted: Literal["average"] | int, echo_times: Sequence[float] | None
) -> list[EchoGroup]:
    """Return the groups with every file counted as repetitions of one echo.

    Raises
    ------
    InputError
        If the files do not contain the same number of volumes of one echo each, or fewer than `wanted`.
    """
    counts = {file.n_volumes for group in groups for file in group.files}
    count = max(counts)
    several = any(
        len(file.sidecar.numbers("EchoTime") or [0.0]) > 1 for group in groups for file in group.files
    )
    too_many = echo_times is not None and any(len(echo_times) != len(group.files) for group in groups)
    if len(counts) > 1 or count == 1 or several or too_many:
        raise InputError(
            f"repetitions={wanted} needs one file per echo, each with the same number of volumes, and one echo "
            f"time per file; these files contain {', '.join(map(str, sorted(counts)))} volumes",
            source=groups[0].title,
            field="repetitions",
        )
    if wanted != "average" and wanted > count:
        raise InputError(
            f"number {wanted} was requested, there are {count}", source=groups[0].title, field="repetitions"
        )
    return [
        replace(group, files=tuple(replace(file, repetitions=count) for file in group.files))
        for group in groups
    ]


def average_repetitions(
    load: Callable[[int], tuple[Array, Array, npt.NDArray[np.bool_] | None]],
    count: int,
    echo_times: Sequence[float],
    notes: list[str],
) -> tuple[Array, Array, npt.NDArray[np.bool_] | None]:
    """Return magnitude, phase (x, y, z, echo) and unknown voxels of the aligned, averaged repetitions.

    `load` gives these of one repetition, counted from 0.
    """
    magnitude, phase, unknown = load(0)
    reference = _complex(magnitude, phase)
    total, drifts = reference.copy(), []
    for repetition in range(1, count):
        magnitude, phase, lost = load(repetition)
        signal = _complex(magnitude, phase)
        unknown = lost if unknown is None else unknown | lost if lost is not None else unknown
        axes = (0, 1, 2)
        product = np.sum(signal * reference.conj(), axis=axes, dtype=np.complex128)
        size = np.sum(np.abs(signal) * np.abs(reference), axis=axes, dtype=np.float64)
        shift = np.asarray(np.angle(product))
        coherence = float(np.min(np.abs(product) / np.maximum(size, np.finfo(float).tiny)))
        if coherence < COHERENT:
            notes.append(
                f"repetition {repetition + 1}: coherence with the first is {coherence:.2f}; motion or a "
                "drift of the shim remains in the average"
            )
        total += signal * np.exp(-1j * shift).astype(np.complex64)
        drifts.append(_drift(shift, echo_times))
    total /= np.float32(count)
    if unknown is not None:
        total[unknown] = 0
    drift = f", field drift up to {max(drifts, key=abs):+.2f} Hz" if len(echo_times) > 1 else ""
    notes.append(f"{count} repetitions averaged after alignment of their phase{drift}")
    return np.abs(total), np.angle(total), unknown


def _complex(magnitude: Array, phase: Array) -> Array:
    signal = np.empty(magnitude.shape, np.complex64)
    np.multiply(magnitude, np.cos(phase), out=signal.real)
    np.multiply(magnitude, np.sin(phase), out=signal.imag)
    return signal


def _drift(shift: Array, echo_times: Sequence[float]) -> float:
    """Slope [Hz] of phase shifts (echo,) over echo time."""
    if len(echo_times) < 2:
        return 0.0
    return float(np.polyfit(echo_times, np.unwrap(shift), 1)[0] / (2 * np.pi))

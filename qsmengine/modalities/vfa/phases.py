"""Gradient echoes of all flip angles as one series, for the susceptibility of the same images.

The flip angles share the field but not the phase at echo time 0. With s(a, t) the complex echoes, each flip
angle is first rotated by its offset to the first one, the angle of sum_t s(a, t) conj(s(0, t)) smoothed by a
Gaussian of 10 mm: the offset is smooth, and the noise of a voxel's own would add to its phases. Then

    S(t) = sum_a abs(s(a, t)) s(a, t),   magnitude = sqrt(sum_a abs(s(a, t))^2),

which weights every phase by its inverse variance. The noise of the real part is that of a single image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qsmengine.backend.device import array_module, device_of
from qsmengine.data import Array, GreSeries
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.gre import load_gre
from qsmengine.io.vfa import VfaFile
from qsmengine.ops.gaussian import gaussian_filter
from qsmengine.pipeline.configuration.model import Config
from qsmengine.stages.relaxometry.flip_angles import Protocol

OFFSET_SIGMA = 10.0
"""Standard deviation of the Gaussian that smooths the offset between flip angles [mm]."""


def load_combined(file: VfaFile, phase: Sequence[Path], config: Config, notes: list[str]) -> GreSeries:
    """Load magnitudes and phases of every flip angle as one gradient-echo series; extend `notes`.

    Parameters
    ----------
    file
        Opened series of magnitudes.
    phase
        Phase images in the order of the magnitudes.
    config
        Settings for reading phases.
    notes
        Decisions.

    Raises
    ------
    InputError
        For numbers of images that do not match, flip angles with different echo times, and everything that
        :func:`qsmengine.io.gre.load_gre` refuses.
    """
    options = config.input
    found = []
    for one in acquisitions(file, phase):
        loaded = load_gre(
            one.magnitude, one.phase, echo_times=one.echo_times, phase_sign=options.phase_sign,
            phase_units=options.phase_units, slice_alternation=options.slice_alternation,
        )  # fmt: skip
        notes.extend(note for note in loaded.notes if note not in notes)
        found.append(loaded.series)
    return combined_echoes(found)


class Acquisition(NamedTuple):
    """Magnitudes and phases of one flip angle, and the echo time [s] of every volume."""

    magnitude: list[Path]
    phase: list[Path]
    echo_times: list[float]


def acquisitions(file: VfaFile, phase: Sequence[Path]) -> list[Acquisition]:
    """Return the images of every flip angle; `phase` has the order of the magnitudes.

    Raises
    ------
    InputError
        For numbers of images that do not match, and flip angles with different echo times.
    """
    if len(phase) != len(file.files):
        raise InputError(f"{len(phase)} phase images for {len(file.files)} magnitudes", field="--phase")
    owner = [index for index, one in enumerate(file.files) for _ in range(one.n_volumes)]
    found = []
    for group in Protocol(file.flip_angles, file.repetition_times, file.echo_times).acquisitions:
        own = list(dict.fromkeys(owner[volume] for volume in group))
        times = [file.echo_times[v] for index in own for v, image in enumerate(owner) if image == index]
        found.append(Acquisition([file.files[k].path for k in own], [phase[k] for k in own], times))
    if len({tuple(sorted(one.echo_times)) for one in found}) > 1:
        raise _different_times()
    return found


def _different_times() -> InputError:
    return InputError(
        "the flip angles have different echo times; their phases cannot be combined", field="EchoTime"
    )


def combined_echoes(series: Sequence[GreSeries]) -> GreSeries:
    """Return the gradient echoes of all flip angles together, from those of each; on their device.

    Raises
    ------
    InputError
        For flip angles with different echo times or grids.
    """
    if len({one.echo_times for one in series}) > 1:
        raise _different_times()
    if any(not one.grid.matches(series[0].grid) for one in series):
        raise InputError("the flip angles have different grids", field="affine")
    xp = array_module(series[0].phase)
    first = _echoes(series[0], xp)
    total, power = [abs(echo) * echo for echo in first], [abs(echo) ** 2 for echo in first]
    for one in series[1:]:
        echoes = _echoes(one, xp)
        common = sum(
            (a * b.conj() for a, b in zip(echoes[1:], first[1:], strict=True)), echoes[0] * first[0].conj()
        )
        back = _smooth_turn(common, series[0].grid)
        for index, echo in enumerate(echoes):
            total[index] = total[index] + abs(echo) * echo * back
            power[index] = power[index] + abs(echo) ** 2
    unknown = [one.unknown for one in series if one.unknown is not None]
    return replace(
        series[0],
        magnitude=xp.stack([one ** np.float32(0.5) for one in power], axis=-1),
        phase=xp.stack([xp.angle(one) for one in total], axis=-1),
        unknown=np.logical_or.reduce(unknown) if unknown else None,
    )


def _smooth_turn(common: Array, grid: Grid) -> Array:
    """Return exp(-i angle) (x, y, z) of the smoothed complex image."""
    device, xp = device_of(common), array_module(common)
    real, imaginary = (
        gaussian_filter(device.asarray(part), grid.voxel_size, OFFSET_SIGMA, device)
        for part in (common.real, common.imag)
    )
    size = xp.maximum(xp.hypot(real, imaginary), np.float32(1e-30))
    turn: Array = (real / size - 1j * (imaginary / size)).astype(np.complex64)
    return turn


def _echoes(series: GreSeries, xp: Any) -> list[Array]:
    """Return the echoes (x, y, z) as complex64."""
    turn = [xp.exp(1j * series.phase[..., echo]).astype(np.complex64) for echo in range(len(series.echo_times))]
    return [series.magnitude[..., echo] * factor for echo, factor in enumerate(turn)]

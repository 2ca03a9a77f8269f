"""Loading of balanced steady-state free precession, and of the field map that its analysis needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qsmengine.data import Array, BalancedSeries
from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io._clean import finite_or_zero
from qsmengine.io._series import SeriesFile, open_file
from qsmengine.io._volumes import read_volumes
from qsmengine.io.inheritance import Folders
from qsmengine.io.nifti import read_image
from qsmengine.io.vfa import REPETITION
from qsmengine.units import ppm_per_hz

ALTERNATING = 180.0
"""Phase increment of a sequence that does not state one [deg]: alternating pulses."""
INCREMENT = ("SpoilingRFPhaseIncrement", "PhaseIncrement")
"""Fields of the phase increment of the pulses [deg], the one that BIDS defines first."""
TABLES = (("FlipAngle",), REPETITION, ("EchoTime",))
"""Fields of the flip angle [deg], the repetition time and the echo time [s]."""
INCREMENT_ENTITY = "inc"
"""Entity of a name with the phase increment of the pulses [deg]."""


def load_balanced(
    magnitude: Sequence[Path],
    grid: Grid,
    notes: list[str],
    *,
    phase: Sequence[Path] = (),
    increments: Sequence[float] | None = None,
    field: Path | None = None,
    field_follows: bool = False,
) -> BalancedSeries:
    """Load balanced steady states on `grid`, one 3-D image per flip angle and increment; extend `notes`.

    Flip angles, repetition times and echo times are read from the sidecars, and increments that are not given
    too, or from the entity ``inc`` of the names. With `field_follows` the caller adds the field map later.

    Raises
    ------
    InputError
        For images on another grid, missing values, numbers of images or increments that do not match, and a
        missing field map where the magnitudes alone are given.
    """
    if increments is not None and len(increments) != len(magnitude):
        raise InputError(
            f"{len(increments)} increments for {len(magnitude)} images", field="--bssfp-increments"
        )
    if phase and len(phase) != len(magnitude):
        raise InputError(f"{len(phase)} phase images for {len(magnitude)} magnitudes", field="--bssfp-phase")
    if not phase and field is None and not field_follows:
        raise InputError(
            "magnitudes alone need the off-resonance: give --fieldmap, --phase, or phases at four increments",
            field="--bssfp",
        )
    files = [open_balanced(path, grid) for path in magnitude]
    tables = [tuple(number_of(file, names) for file in files) for names in TABLES]
    signal, _ = read_volumes(files, grid, range(len(files)), notes)
    if increments is None:
        increments = [increment_of(file) for file in files]
        notes.append(f"bSSFP: phase increments of {', '.join(f'{one:g}' for one in increments)} degrees")
    radians = np.stack([_phase(path, grid) for path in phase], axis=-1) if phase else None
    return BalancedSeries(
        signal, tables[0], tuple(map(float, increments)), tables[1], tables[2], radians,
        None if field is None else load_field(field, grid),
    )  # fmt: skip


def open_balanced(path: Path, grid: Grid, folders: Folders | None = None) -> SeriesFile:
    """Open a balanced image; raises InputError unless it has one volume on `grid` and complete sidecars."""
    file = _opened(path, grid, folders)
    for names in TABLES:
        number_of(file, names)
    return file


def increment_of(file: SeriesFile) -> float:
    """Return the phase increment of the pulses [deg] from the sidecar or the name; 180 where neither has it."""
    named = next((name for name in INCREMENT if name in file.sidecar.values), None)
    if named is not None:
        return file.sidecar.require_number(named, "it is the phase increment of the pulses in degrees")
    found = re.search(rf"_{INCREMENT_ENTITY}-(\d+)_", file.path.name)
    return float(found.group(1)) if found else ALTERNATING


def load_field(path: Path, grid: Grid) -> Array:
    """Load a field map (x, y, z), in Hz or ppm by ``Units`` of its sidecar, as [ppm].

    Raises
    ------
    InputError
        For a map on another grid, and a missing or other unit.
    """
    factor = check_field(path, grid)
    known = finite_or_zero(read_image(path).array.reshape(grid.shape))
    return np.asarray(known * np.float32(factor), dtype=np.float32)


def check_field(path: Path, grid: Grid, folders: Folders | None = None) -> float:
    """Return the factor from the values of a field map to ppm; no voxel is read.

    Raises
    ------
    InputError
        As :func:`load_field`.
    """
    file = open_file(path, folders)
    check_same_grid(file.grid, grid, path, "the images")
    unit = (file.sidecar.text("Units") or "").strip().lower()
    if unit not in {"hz", "ppm"}:
        raise InputError(f"{unit or 'missing'}: a field map in Hz or ppm is needed", source=path, field="Units")
    return ppm_per_hz(grid.required_field_strength) if unit == "hz" else 1.0


def _opened(path: Path, grid: Grid, folders: Folders | None = None) -> SeriesFile:
    file = open_file(path, folders)
    check_same_grid(file.grid, grid, path, "the images")
    if file.n_volumes != 1:
        raise InputError(
            f"has {file.n_volumes} volumes; give one image per increment", source=path, field="dim"
        )
    return file


def number_of(file: SeriesFile, names: Sequence[str]) -> float:
    """Return the number in the first of the fields `names` that the sidecar has; InputError if it has none."""
    name = next((name for name in names if name in file.sidecar.values), names[0])
    return file.sidecar.require_number(name, "balanced images need it in their sidecars")


def _phase(path: Path, grid: Grid) -> Array:
    """Return a phase image (x, y, z) [rad]; raises InputError for values that are not radians."""
    _opened(path, grid)
    phase = finite_or_zero(read_image(path).array.reshape(grid.shape))
    if not 0.5 < float(np.abs(phase).max()) <= 2 * np.pi + 0.01:
        raise InputError(
            f"largest phase {float(np.abs(phase).max()):g}; radians are needed", source=path, field="Units"
        )
    return phase

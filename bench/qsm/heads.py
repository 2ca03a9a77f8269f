"""The head that presets and methods are timed on: a virtual head of 2 mm brought to a finer grid.

Its fields are those of the 2 mm head in between, so there is less detail than in a head of that voxel size, but
tissue, sinuses, wraps and noise are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import affine_transform

from qsmengine.data import GreSeries
from qsmengine.grid import Grid
from qsmengine.ops.domain import bounding_box
from qsmengine.phantom import virtual_head
from qsmengine.phantom.gre import gre_signal, smooth_coil

COARSE = 2.0
"""Voxel size of the head that is interpolated [mm]."""
FIELD_STRENGTH = 3.0
ECHO_TIMES = {4: (0.004, 0.012, 0.020, 0.028), 2: (0.0074, 0.022), 1: (0.020,)}
"""Echoes -> echo times [s]."""
SNR = 100.0
FIELD_OF_VIEW = (230.4, 230.4, 160.0)
"""[mm]"""
MAPS = ("total_field", "local_field", "r2star", "m0")


def make_head(
    folder: Path,
    shape: tuple[int, int, int],
    echoes: Sequence[int],
    field_of_view: tuple[float, float, float] = FIELD_OF_VIEW,
) -> None:
    """Write maps, mask and the series of every number of echoes as .npy files into `folder`."""
    coarse = virtual_head(voxel_size=(COARSE,) * 3, modalities=())
    x, y, z = (length / n for length, n in zip(field_of_view, shape, strict=True))
    grid = Grid.from_voxel_size(shape, (x, y, z), field_strength=FIELD_STRENGTH)
    start, stop = bounding_box(coarse.mask)
    centre = (np.add(start, stop) - 1) / 2
    ratio = np.array(grid.voxel_size) / COARSE

    def fine(image: Any) -> Any:
        offset = centre - ratio * (np.array(shape) - 1) / 2
        return affine_transform(np.asarray(image, np.float32), np.diag(ratio), offset, shape, order=1)

    maps = {name: fine(coarse.truth[name].array) for name in MAPS}
    maps["mask"] = fine(coarse.mask) > 0.5
    rng = np.random.default_rng(0)
    coil = smooth_coil(grid, rng)
    for count in echoes:
        series = gre_signal(
            total_field=maps["total_field"], r2star=maps["r2star"], m0=maps["m0"], coil=coil, grid=grid,
            echo_times=ECHO_TIMES[count], snr=SNR, reference=maps["mask"], rng=rng,
        )  # fmt: skip
        maps[f"magnitude-{count}"], maps[f"phase-{count}"] = series.magnitude, series.phase
    for name, array in maps.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "voxel_size.npy", np.array(grid.voxel_size))


def load_map(folder: Path, name: str) -> Any:
    """One array of a head."""
    return np.load(folder / f"{name}.npy")


def load_grid(folder: Path) -> Grid:
    """Geometry of a head."""
    x, y, z = (float(v) for v in load_map(folder, "voxel_size"))
    shape = np.load(folder / "mask.npy", mmap_mode="r").shape
    return Grid.from_voxel_size(shape, (x, y, z), field_strength=FIELD_STRENGTH)


def load_series(folder: Path, echoes: int) -> GreSeries:
    """The series with so many echoes."""
    magnitude, phase = load_map(folder, f"magnitude-{echoes}"), load_map(folder, f"phase-{echoes}")
    return GreSeries(magnitude, phase, ECHO_TIMES[echoes], load_grid(folder))

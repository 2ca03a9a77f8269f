"""A small brain with known R2 and B1, and its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qsmengine.data import MeseSeries
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.phantom.mese import MeseSettings, mese_signal

GRID = Grid((14, 13, 8), np.diag([2.5, 2.5, 3.0, 1.0]), 3.0)
SETTINGS = MeseSettings(echoes=6)


class Brain(NamedTuple):
    """Series, brain mask and true maps (x, y, z)."""

    series: MeseSeries
    mask: np.ndarray
    r2: np.ndarray
    b1: np.ndarray


def brain(rng, noise=0.0):
    """An ellipsoid with random tissue whose T1 is 1 s, and air around it."""
    x, y, z = np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in GRID.shape), indexing="ij")
    mask = x**2 + y**2 + z**2 < 1
    r2 = rng.uniform(6, 30, GRID.shape).astype(np.float32)
    b1 = (0.95 - 0.2 * (x**2 + y**2)).astype(np.float32)
    ones = np.ones(GRID.shape, np.float32)
    clean = mese_signal(
        r1=ones, r2=r2, m0=mask.astype(np.float32), b1=b1, sensitivity=ones, grid=GRID, settings=SETTINGS
    )
    signal = np.abs(clean.signal + noise * rng.standard_normal(clean.signal.shape)).astype(np.float32)
    return Brain(MeseSeries(signal, clean.echo_times, GRID), mask, r2, b1)


def write(folder: Path, made: Brain, factor: float = 1.0, skip: int = 0):
    """Write the echoes from `skip` on, each with its echo time times `factor`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for echo, time in list(enumerate(made.series.echo_times))[skip:]:
        paths.append(folder / f"mese_echo-{echo + 1}.nii.gz")
        write_image(paths[-1], made.series.signal[..., echo], GRID)
        paths[-1].with_name(f"mese_echo-{echo + 1}.json").write_text(json.dumps({"EchoTime": factor * time}))
    return paths


def write_map(path: Path, array: np.ndarray, grid: Grid = GRID) -> Path:
    """Write a map."""
    write_image(path, array, grid)
    return path

"""A small brain with known R1, R2* and proton density, and its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qsmengine.data import VfaSeries
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.phantom.vfa import VfaSettings, vfa_signal

GRID = Grid((22, 20, 12), np.diag([2.5, 2.5, 3.0, 1.0]), 3.0)
SETTINGS = VfaSettings(echo_times=(0.004, 0.012))


class Brain(NamedTuple):
    """Series, brain mask and true maps (x, y, z)."""

    series: VfaSeries
    mask: np.ndarray
    r1: np.ndarray
    r2star: np.ndarray
    b1: np.ndarray


def brain(rng, settings=SETTINGS, noise=0.0):
    """An ellipsoid with random tissue, and air around it."""
    x, y, z = np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in GRID.shape), indexing="ij")
    mask = x**2 + y**2 + z**2 < 1
    r1 = rng.uniform(0.5, 1.5, GRID.shape).astype(np.float32)
    r2star = rng.uniform(10, 50, GRID.shape).astype(np.float32)
    b1 = (1.1 - 0.2 * (x**2 + y**2)).astype(np.float32)
    clean = vfa_signal(
        r1=r1, r2star=r2star, m0=mask.astype(np.float32), b1=b1, sensitivity=np.ones(GRID.shape, np.float32),
        grid=GRID, settings=settings,
    )  # fmt: skip
    signal = np.abs(clean.signal + noise * rng.standard_normal(clean.signal.shape)).astype(np.float32)
    series = VfaSeries(signal, clean.flip_angles, clean.repetition_times, clean.echo_times, GRID)
    return Brain(series, mask, r1, r2star, b1)


def write(folder: Path, made: Brain, **fields):
    """Write every volume with its sidecar into `folder`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    series, paths = made.series, []
    for volume, flip in enumerate(series.flip_angles):
        path = folder / f"vfa_{volume + 1}.nii.gz"
        write_image(path, series.signal[..., volume], series.grid)
        sidecar = {
            "FlipAngle": flip, "RepetitionTimeExcitation": series.repetition_times[volume],
            "EchoTime": series.echo_times[volume], **fields,
        }  # fmt: skip
        text = json.dumps({k: v for k, v in sidecar.items() if v is not None})
        path.with_name(f"vfa_{volume + 1}.json").write_text(text)
        paths.append(path)
    return paths


def write_map(path: Path, array: np.ndarray, grid: Grid = GRID) -> Path:
    """Write a map."""
    write_image(path, array, grid)
    return path

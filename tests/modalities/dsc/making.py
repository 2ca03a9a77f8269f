"""A small brain with known perfusion, written from the closed forms of the phantom's bolus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qsmengine.data import DscSeries
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.phantom.bolus import Bolus
from qsmengine.phantom.perfusion import Perfusion

GRID = Grid(
    (22, 20, 12), np.array([[2.5, 0, 0, -27.0], [0, 2.5, 0, -24.0], [0, 0, 3.0, -16.0], [0, 0, 0, 1.0]])
)
BOLUS = Bolus(arrival=18.0)
GREY, WHITE = Perfusion(4.0, 4.0, 0.7), Perfusion(2.0, 5.0, 1.2)


class Brain(NamedTuple):
    """Series, brain mask, grey and white matter without vessels, and artery (x, y, z)."""

    series: DscSeries
    mask: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    artery: np.ndarray


def brain(rng, *, snr=200.0, frames=50, step=1.5, times=(0.03,), slices=None, bolus=BOLUS, signal=900.0):
    """An ellipsoid, grey on the left and white on the right, with an artery in it and air around it."""
    x, y, z = np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in GRID.shape), indexing="ij")
    mask = x**2 + y**2 + z**2 < 1
    artery = np.zeros(GRID.shape, bool)
    artery[9:13, 8:11, 5:8] = True
    grey = mask & (x < 0) & ~artery
    white = mask & (x >= 0) & ~artery
    offsets = np.zeros(GRID.shape[2]) if slices is None else np.asarray(slices)
    at = step * np.arange(frames) + offsets[:, None]
    change = np.zeros((*GRID.shape, frames))
    for where, tissue in ((grey, GREY), (white, WHITE)):
        curve = np.array([tissue.flow * bolus.tissue(row, tissue.mtt) for row in at])
        change[where] = curve[np.nonzero(where)[2]]
    change[artery] = np.array([bolus.arterial(row) for row in at])[np.nonzero(artery)[2]]
    proton = np.where(mask, signal, 0.0)[..., None]
    signals = []
    for time in times:
        clean = proton * np.exp(-time * change)
        noise = signal / snr * rng.standard_normal((2, *clean.shape))
        signals.append(np.hypot(clean + noise[0], noise[1]).astype(np.float32))
    series = DscSeries(tuple(signals), times, step, GRID, None if slices is None else offsets)
    return Brain(series, mask, grey, white, artery)


def write(folder: Path, made: Brain, stem: str = "perf", **fields):
    """Write the echoes with sidecars into `folder`; return their paths."""
    paths = []
    for number, (signal, time) in enumerate(
        zip(made.series.signals, made.series.echo_times, strict=True), start=1
    ):
        name = stem if len(made.series.signals) == 1 else f"{stem}_echo-{number}"
        path = folder / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, signal, made.series.grid)
        sidecar = {"EchoTime": time, "RepetitionTime": made.series.repetition_time, **fields}
        path.with_name(f"{name}.json").write_text(
            json.dumps({k: v for k, v in sidecar.items() if v is not None})
        )
        paths.append(path)
    return paths


def write_mask(path: Path, mask: np.ndarray) -> Path:
    """Write a mask on the grid of the brain."""
    write_image(path, mask, GRID)
    return path

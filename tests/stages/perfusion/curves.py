"""Curves in closed form, and voxel images that hold them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import gamma, gammainc, gammaincc

from qsmengine.backend.device import Device, to_numpy
from qsmengine.grid import Grid
from qsmengine.stages.registry import get_method

Curve = np.ndarray[Any, np.dtype[Any]]
DATA = Path(__file__).resolve().parents[2] / "data" / "osipi-dsc" / "dsc_data.csv"
STEP, FRAMES = 1.25, 72
TIMES: Curve = STEP * np.arange(FRAMES, dtype=np.float64)
SHAPE, SCALE = 3.0, 1.5
PLAIN = {"haematocrit_factor": 1.0, "density": 1.0}
"""Parameters with which CBF is 6000 F and CBV 100 F M."""


def artery(times: Curve, arrival: float = 15.0) -> Curve:
    """Gamma variate of unit scale at `arrival` [s]."""
    after = np.maximum(times - arrival, 0.0)
    return after**SHAPE * np.exp(-after / SCALE)


AREA = SCALE ** (SHAPE + 1) * gamma(SHAPE + 1)
"""Area under :func:`artery`."""


def exponential(times: Curve, transit: float, arrival: float = 15.0) -> Curve:
    """The artery convolved with exp(-t / M), in closed form (M > the artery's scale)."""
    after = np.maximum(times - arrival, 0.0)
    rate = 1.0 / SCALE - 1.0 / transit
    power = SHAPE + 1
    return np.exp(-after / transit) * gammainc(power, rate * after) * gamma(power) / rate**power


def box(times: Curve, transit: float, arrival: float = 15.0) -> Curve:
    """The artery convolved with a box of the length M, in closed form."""
    after, power = times - arrival, SHAPE + 1
    begin, end = np.maximum(after, 0.0) / SCALE, np.maximum(after - transit, 0.0) / SCALE
    return AREA * (gammainc(power, begin) - gammainc(power, end))


def gamma_transit(
    times: Curve, transit: float, shape: float, arrival: float = 15.0, dispersion: float = 0.0
) -> Curve:
    """The artery convolved with Q(shape, shape t / M), and exp(-t / D) / D if given, by a fine rule."""
    fine = np.arange(0.0, times[-1] + 0.005, 0.01)
    curve = artery(fine, arrival)
    if dispersion > 0:
        curve = _convolved(curve, np.exp(-fine / dispersion) / dispersion)
    return np.interp(times, fine, _convolved(curve, gammaincc(shape, shape * fine / transit)))


def delayed(curve: Curve, frames: float) -> Curve:
    """A curve that passes `frames` frames later, by its zero-padded spectrum."""
    size = 2 * curve.size
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * frames)
    return np.fft.irfft(np.fft.rfft(curve, size) * turn, size)[: curve.size]


def _convolved(curve: Curve, kernel: Curve, step: float = 0.01) -> Curve:
    size = 2 * curve.size
    full = np.fft.irfft(np.fft.rfft(curve, size) * np.fft.rfft(kernel, size), size)[: curve.size]
    return step * (full - 0.5 * curve[0] * kernel - 0.5 * kernel[0] * curve)


def deconvolve(method: str, curves: Curve, aif: Curve, step: float, device: Device, **settings: Any) -> Any:
    """Maps (curve,) of curves (curve, frame), each a voxel of its own."""
    chosen = get_method("deconvolution", method)
    grid = Grid((len(curves), 1, 1), np.eye(4), 3.0)
    inputs = {
        "dr2star": np.asarray(curves, np.float32)[:, None, None],
        "mask": np.ones(grid.shape, bool),
        "frame_times": tuple(step * np.arange(curves.shape[1])),
        "aif": aif,
    }
    maps = chosen(inputs, grid, chosen.params(**{**PLAIN, **settings}), device=device)
    return {name: to_numpy(image).astype(np.float64).ravel() for name, image in maps.items()}


@dataclass(frozen=True)
class Osipi:
    """OSIPI's curves: tissue and artery (curve, frame), CBV, CBF (curve,), time between frames [s]."""

    tissue: Curve
    artery: Curve
    cbv: Curve
    cbf: Curve
    step: float

    def deconvolve(self, method: str, device: Device, **settings: Any) -> dict[str, Curve]:
        """Maps (curve,); every curve has its own artery."""
        found = [
            deconvolve(method, c[None], a, self.step, device, **settings)
            for c, a in zip(self.tissue, self.artery, strict=True)
        ]
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


@cache
def osipi() -> Osipi:
    with DATA.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tissue, aif = (np.array([np.array(r[c].split(), float) for r in rows]) for c in ("C_tis", "C_aif"))
    cbv, cbf = (np.array([float(r[c]) for r in rows]) for c in ("cbv", "cbf"))
    return Osipi(tissue, aif, cbv, cbf, float(rows[0]["tr"]))

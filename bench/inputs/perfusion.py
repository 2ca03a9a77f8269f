"""Arguments of the perfusion kernels: curves of a bolus with noise, and the tables that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qsmengine.stages.perfusion.residue import Residue, curve_table

Values = dict[str, Any]
Constraint = Callable[[Values, Mapping[str, int], np.random.Generator], None]

FRAMES, VOXELS = 20, 600
_ROWS = 4 * FRAMES + 2


def _curves(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """Fill `change` with passages of different width, delay and height; return the artery."""
    times = np.arange(sizes["frame"], dtype=float)
    after = np.maximum(times - 4.0, 0.0)
    aif = after**2 * np.exp(-after / 1.2)
    kernel = np.exp(-times[:, None] / rng.uniform(1.0, 4.0, sizes["n"]))
    curves = np.stack([np.convolve(aif, column)[: times.size] for column in kernel.T], axis=1)
    curves *= rng.uniform(0.5, 2.0, sizes["n"])
    values["change"] = (curves + 0.02 * rng.normal(size=curves.shape)).astype(np.float32)
    return aif


def _log_contrast(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    aif = _curves({}, sizes, rng)
    signal = 100.0 * np.exp(-0.5 * aif)[:, None] * rng.uniform(0.5, 2.0, sizes["n"])
    values["series"] = (signal + rng.normal(size=signal.shape)).astype(np.float32)
    values |= {"spread": 1.5, "scale": 20.0, "first": 1, "last": 5}


def _features(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    _curves(values, sizes, rng)
    values |= {"first": 2, "last": sizes["frame"] - 1}


def _spectrum(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    aif = _curves(values, sizes, rng)
    angle = 2 * np.pi * np.arange(2 * aif.size) / (2 * aif.size)
    values["cosine"], values["sine"] = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    values |= {"begin": 0, "end": sizes["n"]}
    return np.fft.rfft(aif, 2 * aif.size)


def _truncated(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    spectrum = _spectrum(values, sizes, rng)
    order = np.argsort(np.abs(spectrum))
    weight = 1.0 / (2 * FRAMES * spectrum)
    weight[order[:2]] = 0.0
    values["re"], values["im"] = weight.real.astype(np.float32), weight.imag.astype(np.float32)
    power = np.abs(weight) ** 2
    values["energy"] = np.divide(1.0, power, out=np.zeros(power.shape), where=power > 0).astype(np.float32)
    values["order"] = order.astype(np.int32)
    values["dropped"] = np.linspace(2, FRAMES - 4, sizes["levels"]).astype(np.int32)
    values["limit"] = 0.05


def _tikhonov(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    spectrum = _spectrum(values, sizes, rng)
    weight = np.geomspace(0.02, 0.5, sizes["settings"])[:, None] ** 2 * np.abs(spectrum).max() ** 2
    passed = np.abs(spectrum) ** 2 / (np.abs(spectrum) ** 2 + weight)
    inverse = passed / spectrum / FRAMES
    values["re"], values["im"] = inverse.real.astype(np.float32), inverse.imag.astype(np.float32)
    values["away"] = ((1 - passed) ** 2).astype(np.float32)
    values["grown"] = (np.abs(inverse) ** 2).astype(np.float32)
    values["penalty"] = (1 / (1 - passed).sum(axis=1) ** 2).astype(np.float32)
    values["corner"] = 0


def _matrix(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    _curves(values, sizes, rng)
    times = np.arange(sizes["frame"])
    values["response"] = np.exp(-np.abs(times[:, None] - times + 3) / 2.0).astype(np.float32)


def _leakage(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    aif = _curves(values, sizes, rng)
    rates = np.linspace(0.0, 1.5, sizes["settings"])
    leaked = np.stack([np.convolve(aif, np.exp(-rate * np.arange(aif.size)))[: aif.size] for rate in rates])
    values["reference"], values["leaked"] = aif.astype(np.float32), leaked.astype(np.float32)
    values["change"] += (leaked[-1][:, None] * rng.choice([-0.6, 0.6], sizes["n"])).astype(np.float32)
    n00, n01, n11 = aif @ aif, leaked @ aif, (leaked**2).sum(axis=1)
    inverse = np.stack([n11, -n01, np.full(n11.shape, n00)], axis=1) / (n00 * n11 - n01**2)[:, None]
    values["inverse"], values["significance"] = inverse.astype(np.float32), 0.1


def _transit(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    aif = _curves(values, sizes, rng)
    transits, delays = (0.3, 20.0), (-4.0, 4.0)
    table = curve_table(aif, Residue(0.1, 2.0), "trapezoid", transits, delays)
    values["nodes"] = table.nodes.astype(np.float32)
    values["middle"] = rng.normal(0.9, 0.2, sizes["n"]).astype(np.float32)
    values["arrival"] = rng.normal(0.0, 0.3, sizes["n"]).astype(np.float32)
    values["starts"] = np.array([[8, -2], [8, 0], [12, 0], [12, 2]], np.int32)
    values |= {"shortest": transits[0], "longest": transits[1], "earliest": delays[0], "latest": delays[1]}
    values |= {"lowest": table.lowest, "width": table.width, "margin": table.margin}
    values |= {"iterations": 12, "held": 0.2, "tied": 0.1}


def _gamma(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Starts near the truth; some voxels have none."""
    spectrum = _spectrum(values, sizes, rng)
    weights = spectrum / FRAMES
    weights[[0, -1]] /= 2
    values["re"], values["im"] = weights.real.astype(np.float32), weights.imag.astype(np.float32)
    values["noise"] = np.full(sizes["n"], 1e-3, np.float32)
    values["flow"] = np.where(rng.uniform(size=sizes["n"]) < 0.1, 0.0, 1.0).astype(np.float32)
    values["transit"] = rng.uniform(1.5, 4.0, sizes["n"]).astype(np.float32)
    values["delay"] = rng.uniform(-0.5, 0.5, sizes["n"]).astype(np.float32)
    values |= {"shape_mean": 0.5, "shape_weight": 4.0, "dispersion_mean": -0.7, "dispersion_weight": 4.0}
    values |= {"dispersed": 1.0, "shortest": 0.3, "longest": 20.0, "earliest": -4.0, "latest": 4.0}
    values["iterations"] = 8


CONSTRAINTS: dict[str, Constraint] = {
    "log_contrast": _log_contrast,
    "bolus_features": _features,
    "truncated_residue": _truncated,
    "tikhonov_residue": _tikhonov,
    "matrix_residue": _matrix,
    "leakage_fit": _leakage,
    "transit_fit": _transit,
    "gamma_transit": _gamma,
}

_CURVES = {"frame": FRAMES, "n": VOXELS}
_SPECTRA = _CURVES | {"period": 2 * FRAMES, "bins": FRAMES + 1, "room": _ROWS * 768}
DIMENSIONS: dict[str, dict[str, int]] = {
    "log_contrast": _CURVES,
    "bolus_features": _CURVES,
    "truncated_residue": _SPECTRA | {"levels": 6},
    "tikhonov_residue": _SPECTRA | {"settings": 5},
    "matrix_residue": _CURVES,
    "leakage_fit": _CURVES | {"settings": 4},
    "transit_fit": _CURVES | {"row": 22, "node": FRAMES + 14, "start": 4},
    "gamma_transit": _SPECTRA | {"room": 10 * (FRAMES + 1) * 768},
}

"""Arguments of the kernels of relaxometry: flip angles with two echoes each, and trains of spin echoes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Values = dict[str, Any]
Constraint = Callable[[Values, Mapping[str, int], np.random.Generator], None]

ECHOES, ANGLES, VOXELS = 2, 3, 600


def _signals(sizes: Mapping[str, int], rng: np.random.Generator) -> Values:
    """Signals with noise, each flip angle with its echoes, and the tables and maps that belong to them."""
    flips, times = np.radians([4.0, 12.0, 25.0]), np.tile([0.003, 0.012], ANGLES)
    repetitions = np.array([0.02, 0.02, 0.03])
    r1, r2star = rng.uniform(0.4, 2.0, sizes["n"]), rng.uniform(5.0, 60.0, sizes["n"])
    b1 = rng.uniform(0.8, 1.2, sizes["n"])
    angle, e1 = b1 * flips[:, None], np.exp(-repetitions[:, None] * r1)
    steady = np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle))
    clean = np.repeat(steady, ECHOES, axis=0) * np.exp(-times[:, None] * r2star)
    return {
        "signal": np.abs(clean * (1 + 0.05 * rng.normal(size=clean.shape))).astype(np.float32),
        "times": times.astype(np.float32),
        "echoes": np.full(ANGLES, ECHOES, np.int32),
        "flips": flips.astype(np.float32),
        "repetitions": repetitions.astype(np.float32),
        "b1": b1.astype(np.float32),
        "r2star": r2star.astype(np.float32),
        "scale": 10.0,
    }


def _decay(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    made = _signals(sizes, rng)
    values |= {name: made[name] for name in ("signal", "times", "echoes", "scale")} | {"largest": 2000.0}


def _fit(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    values |= _signals(sizes, rng)
    values |= {"lowest": 0.1, "highest": 20.0, "passes": 4, "steps": 6, "decays": 1}


def _spin_echoes(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """A table of decays whose even echoes grow with the field, and signals from it with noise."""
    rates, fields = np.geomspace(5.0, 60.0, sizes["decays"]), np.linspace(0.0, 1.0, sizes["fields"])
    times, echo = 0.01 * np.arange(1, sizes["echo"] + 1), np.arange(sizes["echo"])

    def train(rate: np.ndarray, field: np.ndarray) -> np.ndarray:
        gain = 1.0 - 0.3 * (1.0 - field) ** 2 * np.where(echo % 2, 0.2, 1.0)[:, None]
        return np.asarray(gain * np.exp(-times[:, None] * rate))

    grid = np.meshgrid(rates, fields, indexing="ij")
    table = train(grid[0].ravel(), grid[1].ravel()).reshape(sizes["echo"], sizes["decays"], sizes["fields"])
    clean = train(rng.uniform(8.0, 40.0, sizes["n"]), rng.uniform(0.1, 0.8, sizes["n"]))
    values["table"] = table.astype(np.float32)
    values["signal"] = np.abs(clean + 0.01 * rng.normal(size=clean.shape)).astype(np.float32)
    values["field"] = rng.uniform(1.0, sizes["fields"] - 2.0, sizes["n"]).astype(np.float32)
    values |= {"scale": 1.0, "highest": sizes["fields"] - 1.5, "with_field": 0}
    values |= {"stride": 4, "field_stride": 2, "steps": 8}


def _balanced(values: Values, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    """Images at two flip angles and two increments within 30 Hz of resonance, with noise."""
    n, flips = sizes["n"], np.radians([12.0, 50.0, 15.0, 45.0])
    increments, tr = np.radians([180.0, 180.0, 90.0, 270.0]), 0.006
    r1, r2, b1 = rng.uniform(0.5, 1.5, n), rng.uniform(8.0, 25.0, n), rng.uniform(0.9, 1.1, n)
    field = rng.uniform(-20.0, 20.0, n)
    e1, e2 = np.exp(-tr * r1), np.exp(-tr * r2)
    angle, theta = b1 * flips[:, None], increments[:, None] + 2 * np.pi * tr * field
    cosine, turn = np.cos(angle), np.cos(theta)
    below = (1 - e1 * cosine) * (1 - e2 * turn) - e2 * (e1 - cosine) * (e2 - turn)
    clean = (1 - e1) * np.sin(angle) * np.sqrt(1 - 2 * e2 * turn + e2**2) / below * np.sqrt(e2)
    values["signal"] = np.abs(clean + 0.003 * rng.normal(size=clean.shape)).astype(np.float32)
    maps = {"r1": r1, "b1": b1, "field": field, "known": np.ones(n), "flips": flips, "increments": increments}
    values |= {name: array.astype(np.float32) for name, array in maps.items()}
    values |= {"repetitions": np.full(4, tr, np.float32), "times": np.full(4, tr / 2, np.float32)}
    values |= {"scale": 2.0, "lowest": 0.4, "highest": 250.0, "with_amplitude": 0, "fewest": 2}
    values |= {"starts": 12, "steps": 8}


CONSTRAINTS: dict[str, Constraint] = {
    "spoiled_decay": _decay, "spoiled_fit": _fit, "spin_echo_fit": _spin_echoes, "balanced_fit": _balanced,
}  # fmt: skip

_SIZES = {"volume": ECHOES * ANGLES, "angle": ANGLES, "n": VOXELS}
DIMENSIONS: dict[str, dict[str, int]] = {
    "spoiled_decay": _SIZES,
    "spoiled_fit": _SIZES,
    "balanced_fit": {"volume": 4, "n": VOXELS},
    "spin_echo_fit": {"echo": 8, "n": VOXELS, "decays": 24, "fields": 11},
}

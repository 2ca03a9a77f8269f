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


CONSTRAINTS: dict[str, Constraint] = {
    "spoiled_decay": _decay, "spoiled_fit": _fit, "spin_echo_fit": _spin_echoes,
}  # fmt: skip

_SIZES = {"volume": ECHOES * ANGLES, "angle": ANGLES, "n": VOXELS}
DIMENSIONS: dict[str, dict[str, int]] = {
    "spoiled_decay": _SIZES,
    "spoiled_fit": _SIZES,
    "spin_echo_fit": {"echo": 8, "n": VOXELS, "decays": 24, "fields": 11},
}

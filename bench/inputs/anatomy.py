"""Arguments of the kernels of anatomy: classes of intensity, and layers of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Values = dict[str, Any]
Constraint = Callable[[Values, Mapping[str, int], np.random.Generator], None]


def _tissue(values: Values, _sizes: Mapping[str, int], _rng: np.random.Generator) -> None:
    """Three levels with noise, and probabilities that add up to 1."""
    values["level"] = np.array([0.15, 0.5, 0.9], np.float32)
    values["spread"] = np.array([0.04, 0.06, 0.05], np.float32)
    values["share"] = np.array([0.1, 0.2, 0.3, 0.2, 0.2], np.float32)
    values["old"] /= values["old"].sum(axis=0)
    values["weights"][13] = 0.0


def _layer(values: Values, _sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    values["weights"] = rng.normal(size=values["weights"].shape, scale=0.3).astype(np.float32)
    values["dilation"] = 2


CONSTRAINTS: dict[str, Constraint] = {"tissue_step": _tissue, "dilated_layer": _layer}
DIMENSIONS: dict[str, dict[str, int]] = {
    "tissue_step": {"nx": 4, "ny": 5, "nz": 150, "neighbours": 27},
    "dilated_layer": {"inputs": 3, "nx": 5, "ny": 4, "pitch": 96, "groups": 2, "outputs": 12},
    "dilated_classes": {"rows": 7, "inputs": 5, "pitch": 96, "classes": 4},
}

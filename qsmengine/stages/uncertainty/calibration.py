"""Coefficients of calibrated intervals, by chain, from calibration.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

from qsmengine.errors import UsageError

LEVELS = (68, 95)
"""Shares of voxels, or of regions, that the intervals contain [%]."""
INTERVALS = {f"chi_ci{level}": level for level in LEVELS}
"""Map of half-widths -> its level [%]."""
REGION_INTERVALS = {f"chi_region_ci{level}": level for level in LEVELS}
"""Map whose mean over a region is the half-width of the interval of its mean chi -> its level [%]."""
LOCAL = frozenset({"misfit", "steepness", "edge", "edges"})
"""Causes of errors that average out in a region."""
ONE_ECHO = "-one-echo"
"""Ending of calibrations for one echo."""
Coefficients: TypeAlias = Mapping[str, float]
"""Name of a cause -> its weight [1]."""


def calibration_of(method: str, *, one_echo: bool) -> str:
    """Return the name of the calibration for an inversion or single step."""
    return f"{method}{ONE_ECHO}" if one_echo else method


def load_calibration(name: str) -> Mapping[int, Coefficients]:
    """Return the coefficients of a chain: level [%] -> cause -> weight.

    Raises
    ------
    UsageError
        For a chain that was not calibrated; the message lists those that were.
    """
    chains = _calibrations()
    if name not in chains:
        raise UsageError(
            f"uncertainty: there is no calibration for {name}, only for {', '.join(chains)}; "
            "method monte_carlo propagates the noise through any chain"
        )
    return chains[name]


def load_region_calibration(name: str) -> Mapping[int, Coefficients]:
    """Return the coefficients for means of regions: level [%] -> cause -> weight.

    They are those of :func:`load_calibration` times the share of a voxel's error that is left in a mean: one
    share for the causes LOCAL, whose errors average out, and one for the others.
    """
    shares = _file()["regions"][name]
    return {
        level: region_coefficients(weights, **shares[str(level)])
        for level, weights in load_calibration(name).items()
    }


def region_coefficients(weights: Coefficients, smooth: float, local: float) -> Coefficients:
    """Return the weights of the causes LOCAL times `local`, those of the others times `smooth`."""
    return {cause: weight * (local if cause in LOCAL else smooth) for cause, weight in weights.items()}


def _calibrations() -> Mapping[str, Mapping[int, Coefficients]]:
    chains = _file()["chains"]
    return {name: {level: chain[str(level)] for level in LEVELS} for name, chain in chains.items()}


@cache
def _file() -> Mapping[str, Any]:
    from importlib.resources import files

    content: Mapping[str, Any] = json.loads(files(__package__).joinpath("calibration.json").read_text("utf-8"))
    return content

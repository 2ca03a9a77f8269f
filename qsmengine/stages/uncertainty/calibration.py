"""Coefficients of calibrated intervals, by chain, from calibration.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from qsmengine.errors import UsageError

LEVELS = (68, 95)
"""Shares of voxels that the intervals contain [%]."""
INTERVALS = {f"chi_ci{level}": level for level in LEVELS}
"""Map of half-widths -> its level [%]."""
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


def region_factors_of(name: str) -> Mapping[int, float]:
    """Return level [%] -> half-width for the mean of chi in a region, over the mean of `chi_ci68` there."""
    factors = _file()["regions"][name]
    return {level: float(factors[str(level)]) for level in LEVELS}


def _calibrations() -> Mapping[str, Mapping[int, Coefficients]]:
    chains = _file()["chains"]
    return {name: {level: chain[str(level)] for level in LEVELS} for name, chain in chains.items()}


@cache
def _file() -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(files(__package__).joinpath("calibration.json").read_text("utf-8"))
    return content

"""Immutable containers passed between steps: arrays with units and grid.

Containers are imported on first use, so that a command loads those of its own images alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qsmengine.data.checks import Array, check_echo_times, check_not_empty
from qsmengine.on_demand import names_on_demand

if TYPE_CHECKING:
    from qsmengine.data.balanced import BalancedSeries
    from qsmengine.data.diffusion import (
        B0_THRESHOLD,
        SHELL_WIDTH,
        DwiSeries,
        check_b_values,
        unweighted_volumes,
    )
    from qsmengine.data.gre import GreSeries
    from qsmengine.data.maps import Map
    from qsmengine.data.perfusion import DscSeries, check_repetition_time
    from qsmengine.data.spin_echoes import MeseSeries
    from qsmengine.data.spoiled import VfaSeries

__all__ = [
    "B0_THRESHOLD",
    "SHELL_WIDTH",
    "Array",
    "BalancedSeries",
    "DscSeries",
    "DwiSeries",
    "GreSeries",
    "Map",
    "MeseSeries",
    "VfaSeries",
    "check_b_values",
    "check_echo_times",
    "check_not_empty",
    "check_repetition_time",
    "unweighted_volumes",
]

_HOMES = {
    "B0_THRESHOLD": "diffusion",
    "SHELL_WIDTH": "diffusion",
    "BalancedSeries": "balanced",
    "DscSeries": "perfusion",
    "DwiSeries": "diffusion",
    "GreSeries": "gre",
    "Map": "maps",
    "MeseSeries": "spin_echoes",
    "VfaSeries": "spoiled",
    "check_b_values": "diffusion",
    "check_repetition_time": "perfusion",
    "unweighted_volumes": "diffusion",
}

__getattr__, __dir__ = names_on_demand(__name__, _HOMES)

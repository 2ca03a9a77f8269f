"""Stages of a spin-echo train, and the plan derived from a configuration."""

from __future__ import annotations

from qsmengine.grid import Grid
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.plan import Plan, Use, plan_uses, sections_of

_BRAIN = {"mask": "brain_mask"}
DECAY, REVERSIBLE = Use("spin_echo_decay", _BRAIN), Use("reversible_decay", _BRAIN)
SECTIONS = sections_of((DECAY, REVERSIBLE))
FITTED_B1 = "no B1 map: B1 of the refocusing pulses is fitted with R2"


def plan_mese(config: Config, grid: Grid, volumes: int, roles: frozenset[str] = frozenset()) -> Plan:
    """Plan the steps from a series to its maps.

    `roles` are "b1" for a map of the transmit field and "r2star" for a map of R2*, from which R2' follows.
    """
    present = {"spin_echoes", "brain_mask", "spin_echo_times", *(roles & {"b1", "r2star"})}
    uses = [DECAY, REVERSIBLE] if "r2star" in roles else [DECAY]
    return plan_uses(config, uses, present, grid, volumes, () if "b1" in roles else (FITTED_B1,))

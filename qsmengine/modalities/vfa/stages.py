"""Stages of a session with several flip angles, and the plan derived from a configuration."""

from __future__ import annotations

from qsmengine.grid import Grid
from qsmengine.modalities.vfa.series import LATER
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.plan import Plan, Use, plan_uses

_BRAIN = {"mask": "brain_mask"}
DECAY, FIT = Use("common_decay", _BRAIN), Use("flip_angles", _BRAIN)
TABLES = ("flip_angles", "repetition_times", "spoiled_times")
ONE_ECHO = "common decay left out: one echo per flip angle"
NO_B1 = "no B1 map: flip angles are taken as nominal; an error of 1 % in B1 makes R1 wrong by 2 %"


def plan_vfa(config: Config, grid: Grid, volumes: int, roles: frozenset[str] = frozenset()) -> Plan:
    """Plan the steps from a series to its maps.

    `roles` are "later_echoes" if a flip angle has more than one echo, and "b1" for a map of the transmit field.
    """
    present = {"spoiled", "brain_mask", *TABLES, *(roles & {"b1"})}
    notes = [] if "b1" in roles else [NO_B1]
    uses = [DECAY, FIT] if LATER in roles else [FIT]
    if LATER not in roles:
        notes.append(ONE_ECHO)
    return plan_uses(config, uses, present, grid, volumes, notes)

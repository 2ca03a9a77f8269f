"""Stages of a session with several flip angles, and the plan derived from a configuration."""

from __future__ import annotations

from dataclasses import replace

from qsmengine.grid import Grid
from qsmengine.modalities.vfa.roles import BALANCED, CYCLED, CYCLED_PHASE, LATER, PHASE, SINGLE
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.plan import Plan, Use, plan_uses, sections_of

_BRAIN = {"mask": "brain_mask"}
DECAY, FIT = Use("common_decay", _BRAIN), Use("flip_angles", _BRAIN)
_MAPS = ("r1", "t1", "amplitude", "r1_sd", "amplitude_sd")
APPARENT = Use("flip_angles", _BRAIN, {name: f"apparent_{name}" for name in _MAPS})
"""Fit with the nominal flip angles, from whose R1 the transmit field is estimated."""
TRANSMIT = Use("transmit_field", {"r1": "apparent_r1", **_BRAIN})
DENSITY = Use("proton_density", _BRAIN)
R2 = Use("balanced_decay", _BRAIN)
R2_FREE = Use("balanced_decay", {**_BRAIN, "amplitude": "balanced_amplitude"})
"""Fit of R2 with the amplitude of the spoiled echoes, and with an amplitude of the balanced ones."""
SECTIONS = sections_of((DECAY, FIT, TRANSMIT, DENSITY, R2))
TABLES = ("flip_angles", "repetition_times", "spoiled_times")
ONE_ECHO = "common decay left out: one echo per flip angle; M0 and proton density contain the decay up to it"
NO_B1 = "no B1 map: flip angles are taken as nominal; an error of 1 % in B1 makes R1 wrong by 2 %"
GIVEN_B1 = "transmit field left out: a B1 map is given"


def plan_vfa(config: Config, grid: Grid, volumes: int, roles: frozenset[str] = frozenset()) -> Plan:
    """Plan the steps from a series to its maps.

    `roles` are "later_echoes" if a flip angle has more than one echo, and "b1" for a map of the transmit field.
    Without a map, a method of the transmit field that the configuration names estimates it from R1 at nominal
    flip angles. R2 follows from balanced steady states: "single" for magnitudes at one flip angle, "balanced"
    for those at several, "cycled" for images with phases.
    """
    present = {"spoiled", "brain_mask", *TABLES, *(roles & {"b1"})}
    uses, notes = [], []
    if LATER in roles:
        uses.append(DECAY)
    else:
        notes.append(ONE_ECHO)
    estimated = config.method(TRANSMIT.section) is not None
    if "b1" in roles:
        notes += [GIVEN_B1] if estimated else []
    elif estimated:
        uses += [APPARENT, TRANSMIT]
    else:
        notes.append(NO_B1)
    uses += [FIT, DENSITY]
    if CYCLED in roles:
        present |= {CYCLED, CYCLED_PHASE, "cycled_increments", "cycled_times"}
        config = _with_method(config, "ellipse")
        uses.append(R2)
    elif roles & {BALANCED, SINGLE}:
        tables = {f"balanced_{name}" for name in ("angles", "increments", "times", "echoes")}
        present |= {"balanced", "total_field", *tables}
        config = _with_method(config, "known_field")
        uses.append(R2 if SINGLE in roles else R2_FREE)
    plan = plan_uses(config, uses, present, grid, volumes, notes)
    return replace(plan, kept=(*plan.kept, "chi", "total_field")) if PHASE in roles else plan


def _with_method(config: Config, method: str) -> Config:
    """Return the configuration with another method of R2, unless it is switched off."""
    chosen = getattr(config, R2.section)
    if chosen is None or chosen.method == method:
        return config
    return config.model_copy(update={R2.section: chosen.model_copy(update={"method": method})})

"""Stages of a T1-weighted image, and the plan derived from a configuration."""

from __future__ import annotations

from qsmengine.grid import Grid
from qsmengine.modalities.t1w.series import IMAGE
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.plan import Plan, Use, plan_uses, sections_of

TISSUE = Use("tissue", {"mask": "brain_mask"})
SECTIONS = sections_of((TISSUE,))


def plan_anatomy(config: Config, grid: Grid, volumes: int, _roles: frozenset[str] = frozenset()) -> Plan:
    """Plan the steps after the segmentation of brain and deep grey matter."""
    return plan_uses(config, [TISSUE], {IMAGE, "brain_mask", "dgm"}, grid, volumes)

"""Stages of a T1-weighted image, and the plan derived from a configuration."""

from __future__ import annotations

from qsmengine.grid import Grid
from qsmengine.modalities.t1w.series import FLAIR, IMAGE
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.plan import Plan, Use, plan_uses, sections_of

TISSUE = Use("tissue", {"mask": "brain_mask"})
SECTIONS = sections_of((TISSUE,))


def plan_anatomy(config: Config, grid: Grid, volumes: int, roles: frozenset[str] = frozenset()) -> Plan:
    """Plan the steps after the segmentation of brain and deep grey matter, and the screening for lesions."""
    found = {"brain_mask", "dgm"} | ({"screening"} if FLAIR in roles else set())
    return plan_uses(config, [TISSUE], {IMAGE, *found}, grid, volumes)

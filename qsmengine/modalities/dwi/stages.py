"""Stages of a diffusion fit, and the plan derived from a configuration."""

from __future__ import annotations

from dataclasses import replace

from qsmengine.grid import Grid
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.plan import Plan, Use, plan_uses, sections_of

DENOISE = Use("denoise", {"components": "signal"}, {"components": "signal", "sigma": "noise_map"})
FIT = Use("diffusion")
SECTIONS = sections_of((DENOISE, FIT))


def plan_dti(config: Config, grid: Grid, n_volumes: int, *, has_deviation: bool = False) -> Plan:
    """Plan the steps from a diffusion series to its maps: optional denoising, fit, colour FA."""
    present = {"signal", "mask", "b_values", "b_vectors", *(["gradient_deviation"] if has_deviation else [])}
    uses, notes = [FIT], []
    chosen = config.method("denoise")
    if chosen is not None and "components" in chosen[0].inputs:
        uses.insert(0, DENOISE)
    elif chosen is not None:
        notes.append(f"denoise left out: {chosen[0].name} is for gradient echoes")
    plan = plan_uses(config, uses, present, grid, n_volumes, notes)
    return replace(plan, kept=(*plan.kept, "colour_fa", "brain_mask"))

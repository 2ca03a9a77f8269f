"""Stages of a perfusion chain, and the plan derived from a configuration."""

from __future__ import annotations

from qsmengine.grid import Grid
from qsmengine.modalities.dsc.series import SECOND
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.plan import Plan, Use, plan_uses, sections_of

_BRAIN = {"mask": "brain_mask"}
STAGES = (
    Use("contrast", _BRAIN),
    Use("aif", _BRAIN),
    Use("leakage", _BRAIN, {"corrected": "dr2star"}),
    Use("deconvolution", _BRAIN),
)
"""Stages in their order; corrected curves replace those measured."""
DENOISE = Use("denoise", {"components": "dynamic", **_BRAIN}, {"components": "dynamic", "sigma": "noise_map"})
DENOISE_SECOND = Use(
    "denoise",
    {"components": "second_dynamic", **_BRAIN},
    {"components": "second_dynamic", "sigma": "second_noise_map"},
)
"""Denoising of each echo. It comes after the artery, which is chosen by rules for measured noise."""
SECTIONS = sections_of((*STAGES, DENOISE))
TABLES = ("frame_times", "echo_time")


def plan_dsc(config: Config, grid: Grid, frames: int, roles: frozenset[str] = frozenset()) -> Plan:
    """Plan the steps from a bolus series to its maps.

    `roles` of optional inputs: "second_dsc" (a second echo), "aif" (a curve), "aif_mask", "region" (reference
    of relative maps). The contrast follows the number of echoes, whatever the configuration names. Denoising
    comes after the artery is chosen, and the contrast is then computed again.
    """
    present = {"dynamic", "brain_mask", *TABLES, *(roles & {"aif", "aif_mask"})}
    if SECOND in roles:
        present |= {"second_dynamic", "second_echo_time"}
    config = _with_method(config, "contrast", "dual_echo" if SECOND in roles else "single_echo")
    if "aif_mask" in roles:
        config = _with_method(config, "aif", "mask")
    uses = [use for use in STAGES if use.section != "aif" or "aif" not in roles]
    notes = []
    chosen = config.method("denoise")
    if chosen is not None and "components" in chosen[0].inputs:
        again = [DENOISE, *([DENOISE_SECOND] if SECOND in roles else []), STAGES[0]]
        uses = [*uses[:-2], *again, *uses[-2:]]
    elif chosen is not None:
        notes.append(f"denoise left out: {chosen[0].name} is for gradient echoes")
    plan = plan_uses(config, uses, present, grid, frames, notes)
    relative = ("relative_cbv", "relative_cbf") if "region" in roles else ()
    return Plan(plan.steps, plan.notes, (*plan.kept, *relative))


def _with_method(config: Config, section: str, method: str) -> Config:
    """Return the configuration with another method of a section, which shares the parameters of the old one."""
    chosen = getattr(config, section)
    return config.model_copy(update={section: chosen.model_copy(update={"method": method})})

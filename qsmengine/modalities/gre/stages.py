"""Stages of a gradient-echo reconstruction in order, and the plan derived from a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.plan import Plan, PlanStep, Use, plan_uses, sections_of
from qsmengine.stages.params import Params
from qsmengine.stages.registry import get_stage
from qsmengine.stages.uncertainty.calibration import calibration_of, load_calibration

_BRAIN = {"mask": "brain_mask"}
_LOCAL = {"mask": "local_mask"}
REPLACED = get_stage("single-step").replaces
"""Sections that a single step replaces."""

STAGES = (
    Use("denoise", _BRAIN),
    Use("mask", outputs=_BRAIN),
    Use("phase_offset", _BRAIN),
    Use("unwrap", _BRAIN),
    Use("field", _BRAIN),
    Use("reliability", _BRAIN, {"mask": "field_mask"}),
    Use("relaxometry", _BRAIN),
    Use("two_pass", _BRAIN),
    Use("background", {"mask": "field_mask"}, _LOCAL),
    Use("inversion", _LOCAL),
    Use("single_step", {"mask": "field_mask"}, _LOCAL),
    Use("reference", _LOCAL),
    Use("uncertainty", _LOCAL, reruns=(*REPLACED, "single_step")),
    Use("swi", _BRAIN),
    Use("chi_separation", _LOCAL),
)
"""Stages in the order of a run, with the arguments and results that have a different name there."""
SECTIONS = sections_of(STAGES)

_PASSES = (
    Use("background", {"mask": "reliable_mask"}, {"local_field": "reliable_field", "mask": "reliable_mask"}),
    Use("inversion", {"local_field": "reliable_field", "mask": "reliable_mask"}, {"chi": "reliable_chi"}),
    Use("background", {"mask": "filled_mask"}, _LOCAL),
    Use("inversion", _LOCAL, {"chi": "filled_chi"}),
    Use("combination", _LOCAL, method="two_pass"),
)
"""Stages that replace background removal and inversion in a two-pass run."""


def plan_qsm(
    config: Config,
    grid: Grid,
    n_echoes: int,
    *,
    has_mask: bool = False,
    has_labels: bool = False,
    has_r2: bool = False,
) -> Plan:
    """Plan the steps from a gradient-echo series to susceptibility and the maps derived from it.

    A given mask replaces the mask step; offset removal and relaxometry need two echoes. With `two_pass`,
    background removal and inversion run in the reliable mask and in the filled mask.

    Raises
    ------
    UsageError
        If neither the inputs nor an earlier step provides an array that a method needs.
    """
    present = {"magnitude", "phase", "echo_times", *(["brain_mask"] if has_mask else [])}
    present |= {"labels"} if has_labels else set()
    present |= {"r2"} if has_r2 else set()
    left_out = {"mask"} if has_mask else set()
    left_out |= {"two_pass"} if config.method("two_pass") is None else set()
    sections = [use.section for use in STAGES if use.section not in left_out]
    return plan_sections(config, sections, present, grid, n_echoes)


def plan_sections(
    config: Config, sections: Iterable[str], present: Iterable[str], grid: Grid, n_echoes: int
) -> Plan:
    """Plan the steps of some sections, in the given order, from the arrays `present`."""
    sections = tuple(sections)
    single = config.method("single_step") is not None
    if single and "two_pass" in sections and config.method("two_pass") is not None:
        raise UsageError("single_step and two_pass are mutually exclusive: add --set single_step=none")
    known = {use.section: use for use in STAGES}
    uses = [known[section] for section in _one_or_the_other(sections, single)]
    if "two_pass" in sections:
        place = [use.section for use in uses].index("background")
        uses[place : place + 2] = _PASSES
    plan = _with_calibration(plan_uses(config, uses, set(present), grid, n_echoes), n_echoes)
    for step in plan.steps:
        if step.chain:
            _check_chain(step.chain, step.params)
    return plan


def _one_or_the_other(sections: Iterable[str], single_step: bool) -> list[str]:
    """Return the sections with the single step instead of those it replaces, or without the single step."""
    names = [section for section in sections if section != "single_step"]
    if not single_step or not set(REPLACED) <= set(names):
        return names
    first, second = REPLACED
    return ["single_step" if name == second else name for name in names if name != first]


def _with_calibration(plan: Plan, n_echoes: int) -> Plan:
    """Return the plan with the calibration of its inversion in the steps that may have one and name none.

    Raises
    ------
    UsageError
        For an inversion without calibration.
    """
    makers = [step.method.name for step in plan.steps if step.section in {"inversion", "single_step"}]

    def calibrated(step: PlanStep) -> PlanStep:
        if not hasattr(step.params, "calibration"):
            return step
        chosen: str | None = step.params.calibration
        name = chosen or calibration_of(makers[-1], one_echo=n_echoes == 1)
        load_calibration(name)
        return replace(step, params=step.params.model_copy(update={"calibration": name}))

    return replace(plan, steps=tuple(calibrated(step) for step in plan.steps))


def _check_chain(chain: Sequence[PlanStep], params: Params) -> None:
    """Raise UsageError if noise of the total field cannot enter the chain, or if a method has no step."""
    first = chain[0]
    named = [name for name in REPLACED if getattr(params, name, None) is not None]
    if first.section == "single_step" and named:
        raise UsageError(f"uncertainty.{named[0]}: the run has a single step; add --set single_step=none")
    if "total_field" not in first.method.inputs and first.section not in named:
        title = f"{first.section.replace('_', ' ')} method {first.method.name}"
        other = "--set single_step=none" if first.section == "single_step" else f"uncertainty.{first.section}"
        raise UsageError(f"uncertainty: {title} does not start from the total field; name another by {other}")

"""The methods there are.

A line here enrols a method everywhere: CLI, configuration, contract tests, docs, bench and the QSM-CI
submission.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module

from qsmengine.errors import UsageError
from qsmengine.stages.method import Method

_MODULES = (
    ("denoise", "denoise.mnlm"),
    ("denoise", "denoise.complex_mnlm"),
    ("denoise", "denoise.low_snr"),
    ("denoise", "denoise.mppca"),
    ("phase-offset", "phase.mcpc3ds"),
    ("unwrap", "phase.romeo"),
    ("unwrap", "phase.laplacian"),
    ("field", "phase.weighted_fit"),
    ("field", "phase.nonlinear_fit"),
    ("mask", "mask.phase_magnitude"),
    ("mask", "mask.bet"),
    ("mask", "mask.phase_quality"),
    ("mask", "mask.combined"),
    ("reliability", "mask.field_jumps"),
    ("two-pass", "mask.two_pass"),
    ("background", "background.vsharp"),
    ("background", "background.sharp"),
    ("background", "background.resharp"),
    ("background", "background.ismv"),
    ("background", "background.pdf"),
    ("background", "background.lbv"),
    ("background", "background.phase_lbv"),
    ("inversion", "inversion.tkd"),
    ("inversion", "inversion.tsvd"),
    ("inversion", "inversion.closed_form_l2"),
    ("inversion", "inversion.iterative_tikhonov"),
    ("inversion", "inversion.ndi"),
    ("inversion", "inversion.rts"),
    ("inversion", "inversion.weighted_tv"),
    ("inversion", "inversion.fansi_tv"),
    ("inversion", "inversion.medi"),
    ("inversion", "inversion.weak_harmonic"),
    ("inversion", "inversion.l1_qsm"),
    ("inversion", "inversion.hd_qsm"),
    ("inversion", "inversion.fansi_tgv"),
    ("inversion", "inversion.ilsqr"),
    ("combination", "inversion.two_pass"),
    ("single-step", "single_step.tfi"),
    ("single-step", "single_step.tgv"),
    ("reference", "inversion.reference"),
    ("reference", "inversion.csf_reference"),
    ("relaxometry", "relaxometry.arlo"),
    ("relaxometry", "relaxometry.decay_fit"),
    ("uncertainty", "uncertainty.monte_carlo"),
    ("swi", "swi.homodyne"),
    ("swi", "swi.local_field"),
    ("chi-separation", "separation.voxelwise"),
    ("diffusion", "diffusion.tensor"),
    ("diffusion", "diffusion.search"),
    ("diffusion", "diffusion.kurtosis"),
    ("diffusion", "diffusion.free_water"),
)
"""Stage and module of its methods; a module is imported when its stage is asked for."""


def all_methods() -> tuple[Method, ...]:
    """Every registered method, in the order of the pipeline."""
    return tuple(method for stage in stage_names() for method in _methods(stage))


@cache
def _methods(stage: str) -> tuple[Method, ...]:
    found: list[Method] = []
    for name, module in _MODULES:
        if name == stage:
            found.extend(import_module(f"qsmengine.stages.{module}").METHODS)
    return tuple(found)


def stage_names() -> tuple[str, ...]:
    """Names of the stages, in the order of the pipeline."""
    return tuple(dict.fromkeys(stage for stage, _ in _MODULES))


def methods_of(stage: str) -> dict[str, Method]:
    """Methods of one stage by name.

    Raises
    ------
    UsageError
        For a stage that does not exist, with the nearest names.
    """
    if stage not in stage_names():
        raise UsageError(unknown("stage", stage, stage_names()))
    return {method.name: method for method in _methods(stage)}


def get_method(stage: str, name: str) -> Method:
    """A method by stage and name.

    Raises
    ------
    UsageError
        For a name that does not exist, with the nearest ones.
    """
    methods = methods_of(stage)
    if name not in methods:
        raise UsageError(unknown(f"{stage} method", name, tuple(methods)))
    return methods[name]


def unknown(kind: str, name: str, known: tuple[str, ...]) -> str:
    """Message for a name that is not known: the nearest known one, and all of them."""
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})"

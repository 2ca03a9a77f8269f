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
    "denoise.mnlm",
    "denoise.complex_mnlm",
    "phase.mcpc3ds",
    "phase.romeo",
    "phase.laplacian",
    "phase.weighted_fit",
    "phase.nonlinear_fit",
    "mask.phase_magnitude",
    "mask.field_jumps",
    "background.vsharp",
    "background.sharp",
    "background.resharp",
    "background.ismv",
    "background.pdf",
    "background.lbv",
    "inversion.tkd",
    "inversion.tsvd",
    "inversion.closed_form_l2",
    "inversion.iterative_tikhonov",
    "inversion.ndi",
    "inversion.rts",
    "inversion.weighted_tv",
    "inversion.fansi_tv",
    "inversion.weak_harmonic",
    "inversion.reference",
    "relaxometry.arlo",
    "relaxometry.decay_fit",
    "diffusion.tensor",
    "diffusion.search",
)


@cache
def all_methods() -> tuple[Method, ...]:
    """Every registered method, in the order of the pipeline."""
    found: list[Method] = []
    for module in _MODULES:
        found.extend(import_module(f"qsmengine.stages.{module}").METHODS)
    return tuple(found)


def stage_names() -> tuple[str, ...]:
    """Names of the stages, in the order of the pipeline."""
    return tuple(dict.fromkeys(m.stage for m in all_methods()))


def methods_of(stage: str) -> dict[str, Method]:
    """Methods of one stage by name.

    Raises
    ------
    UsageError
        For a stage that does not exist, with the nearest names.
    """
    if stage not in stage_names():
        raise UsageError(unknown("stage", stage, stage_names()))
    return {m.name: m for m in all_methods() if m.stage == stage}


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

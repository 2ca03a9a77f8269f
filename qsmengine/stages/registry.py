"""Stages and their methods.

A line here makes a method available everywhere: CLI, configuration, contract tests, docs, bench and the QSM-CI
submission.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from qsmengine.errors import UsageError, nearest
from qsmengine.stages.method import Method
from qsmengine.stages.stage import Stage

STAGES = (
    Stage(
        "denoise",
        "Reduces noise in images of one object (runs first, if a method is named).",
        (".denoise.mnlm", ".denoise.complex_mnlm", ".denoise.low_snr", ".denoise.mppca"),
        presence="extra",
    ),
    Stage(
        "phase-offset",
        "Removes the phase at echo time 0 (coils, bipolar readout).",
        (".phase.mcpc3ds",),
        presence="optional",
        least_volumes=2,
    ),
    Stage("unwrap", "Unwraps the phase.", (".phase.romeo", ".phase.laplacian")),
    Stage(
        "field",
        "Total field and its noise from the phases of all echoes.",
        (".phase.weighted_fit", ".phase.nonlinear_fit"),
    ),
    Stage(
        "mask", "Brain mask.", (".mask.phase_magnitude", ".mask.bet", ".mask.phase_quality", ".mask.combined")
    ),
    Stage(
        "reliability",
        "Excludes voxels whose field is implausible.",
        (".mask.field_jumps",),
        presence="optional",
    ),
    Stage(
        "two-pass",
        "Reliable and hole-filled masks for a two-pass reconstruction.",
        (".mask.two_pass",),
        presence="extra",
    ),
    Stage(
        "background",
        "Removes the field of sources outside the mask.",
        (
            ".background.vsharp",
            ".background.sharp",
            ".background.resharp",
            ".background.ismv",
            ".background.pdf",
            ".background.lbv",
            ".background.phase_lbv",
        ),
    ),
    Stage(
        "inversion",
        "Susceptibility from the local field.",
        (
            ".inversion.tkd",
            ".inversion.tsvd",
            ".inversion.closed_form_l2",
            ".inversion.iterative_tikhonov",
            ".inversion.ndi",
            ".inversion.rts",
            ".inversion.weighted_tv",
            ".inversion.fansi_tv",
            ".inversion.medi",
            ".inversion.weak_harmonic",
            ".inversion.l1_qsm",
            ".inversion.hd_qsm",
            ".inversion.fansi_tgv",
            ".inversion.ilsqr",
        ),
    ),
    Stage("combination", "Combines the maps of two passes.", (".inversion.two_pass",), presence="internal"),
    Stage(
        "single-step",
        "Susceptibility from the total field or the phase, in place of background and inversion.",
        (".single_step.tfi", ".single_step.tgv"),
        presence="extra",
        replaces=("background", "inversion"),
        excludes=("two_pass",),
    ),
    Stage(
        "reference",
        "Sets the zero of susceptibility.",
        (".inversion.reference", ".inversion.csf_reference"),
        presence="optional",
    ),
    Stage(
        "relaxometry",
        "R2*, T2* and S0 from the magnitudes.",
        (".relaxometry.arlo", ".relaxometry.decay_fit"),
        presence="optional",
        least_volumes=2,
    ),
    Stage(
        "uncertainty",
        "Intervals or standard deviation of susceptibility.",
        (".uncertainty.calibrated", ".uncertainty.monte_carlo"),
        presence="extra",
    ),
    Stage(
        "swi",
        "Susceptibility-weighted image and minimum-intensity projection.",
        (".swi.homodyne", ".swi.local_field"),
        presence="extra",
    ),
    Stage(
        "chi-separation",
        "Paramagnetic and diamagnetic parts of susceptibility.",
        (".separation.voxelwise",),
        presence="extra",
    ),
    Stage(
        "diffusion",
        "Diffusion tensor and its maps.",
        (".diffusion.tensor", ".diffusion.search", ".diffusion.kurtosis", ".diffusion.free_water"),
    ),
    Stage(
        "contrast",
        "Change of R2* during the passage of a contrast agent.",
        (".perfusion.contrast",),
        default="single_echo",
    ),
    Stage(
        "aif",
        "Arterial input function of a perfusion series.",
        (".perfusion.aif",),
        default="automatic",
    ),
    Stage(
        "leakage",
        "Corrects perfusion curves for agent that leaves the vessels.",
        (".perfusion.leakage",),
        presence="optional",
        default="bsw",
    ),
    Stage(
        "deconvolution",
        "Blood volume, blood flow and transit time from perfusion curves.",
        (
            ".perfusion.truncated",
            ".perfusion.ssvd",
            ".perfusion.tikhonov",
            ".perfusion.exponential",
            ".perfusion.common_shape",
            ".perfusion.gamma",
        ),
        default="common_shape",
    ),
    Stage(
        "common-decay",
        "R2* of spoiled gradient echoes, common to all flip angles.",
        (".relaxometry.common_decay",),
        presence="optional",
        default="estatics",
    ),
    Stage(
        "flip-angles",
        "R1, T1 and amplitude from spoiled gradient echoes at several flip angles.",
        (".relaxometry.variable_flip_angle",),
        default="linear",
    ),
    Stage(
        "transmit-field",
        "Transmit field B1 relative to its nominal value.",
        (".relaxometry.transmit_field", ".relaxometry.sharpened_field"),
        presence="extra",
    ),
    Stage(
        "spin-echo-decay",
        "R2 and T2 from a train of spin echoes.",
        (".relaxometry.spin_echo",),
        default="epg",
    ),
    Stage(
        "balanced-decay",
        "R2 from balanced steady-state free precession.",
        (".relaxometry.balanced", ".relaxometry.ellipse"),
        presence="optional",
        default="known_field",
    ),
    Stage(
        "reversible-decay",
        "R2' from R2* and R2.",
        (".relaxometry.reversible",),
        presence="optional",
        default="difference",
    ),
    Stage(
        "proton-density",
        "Proton density from the amplitude of spoiled gradient echoes.",
        (".relaxometry.proton_density",),
        presence="optional",
        default="pseudo_density",
    ),
    Stage(
        "tissue",
        "Grey matter, white matter and cerebrospinal fluid in a T1-weighted image.",
        (".anatomy.tissue",),
        default="mixtures",
    ),
)
"""Stages in the order of the pipeline; their modules are imported on first use."""


def all_methods() -> tuple[Method, ...]:
    """Return every registered method, in the order of the pipeline."""
    return tuple(method for stage in stage_names() for method in _methods(stage))


@cache
def _methods(stage: str) -> tuple[Method, ...]:
    return tuple(method for module in get_stage(stage).modules for method in _methods_in(module))


def _methods_in(module: str) -> tuple[Method, ...]:
    methods: tuple[Method, ...] = import_module(module, "qsmengine.stages").METHODS
    return methods


def stage_names() -> tuple[str, ...]:
    """Return the names of the stages, in the order of the pipeline."""
    return tuple(stage.name for stage in STAGES)


def get_stage(name: str) -> Stage:
    """Return the stage of this name.

    Raises
    ------
    UsageError
        For a stage that does not exist; the message suggests similar names.
    """
    for stage in STAGES:
        if stage.name == name:
            return stage
    raise UsageError(unknown("stage", name, stage_names()))


def methods_of(stage: str) -> dict[str, Method]:
    """Return the methods of one stage by name.

    Raises
    ------
    UsageError
        For a stage that does not exist; the message suggests similar names.
    """
    get_stage(stage)
    return {method.name: method for method in _methods(stage)}


def get_method(stage: str, name: str) -> Method:
    """Return a method by stage and name.

    Raises
    ------
    UsageError
        For a name that does not exist; the message suggests similar names.
    """
    # a module named like the method is tried first; the others are imported only if there is none
    for module in sorted(get_stage(stage).modules, key=lambda module: module.rpartition(".")[2] != name):
        for method in _methods_in(module):
            if method.name == name:
                return method
    raise UsageError(unknown(f"{stage} method", name, tuple(methods_of(stage))))


def unknown(kind: str, name: str, known: tuple[str, ...]) -> str:
    """Return the message for an unknown name: the most similar known name, and all known names."""
    near = nearest(name, known)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})"

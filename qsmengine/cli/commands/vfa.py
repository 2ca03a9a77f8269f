"""``qsmengine vfa``: R1, T1, R2* and proton density from several flip angles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.outcome import print_outcome
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Option


def vfa(
    *,
    magnitude: Annotated[
        list[Path],
        Option(
            "--magnitude",
            help="one image per flip angle and echo, or per flip angle with its echoes as volumes",
            metavar="F...",
        ),
    ],
    phase: Annotated[
        list[Path] | None,
        Option(
            "--phase",
            help="their phases in the same order, for susceptibility and the field of the same images",
            metavar="F...",
        ),
    ] = None,
    out: Annotated[Path, Option("--out", "-o", help="output folder")],
    flip_angles: Annotated[
        list[str] | None,
        Option(
            "--flip-angles",
            help="nominal flip angle [deg], one per image; default: from the sidecars",
            metavar="DEG...",
            callback=bounds.bounded(0.01, 179),
        ),
    ] = None,
    repetition_times: Annotated[
        list[str] | None,
        Option(
            "--repetition-times",
            help="time between pulses [s], one per image or one for all; default: from the sidecars",
            metavar="S...",
            callback=bounds.bounded(5e-4, 2),
        ),
    ] = None,
    echo_times: Annotated[
        list[str] | None,
        Option(
            "--echo-times",
            help="echo time [s], one per volume; default: from the sidecars",
            metavar="S...",
            callback=bounds.bounded(*bounds.ECHO_TIME),
        ),
    ] = None,
    b1: Annotated[
        list[Path] | None,
        Option(
            "--b1",
            help="B1 map, relative to nominal or in percent, or two images (actual flip-angle imaging, double "
            "angle), on the grid of the images; default: 1",
            metavar="F...",
        ),
    ] = None,
    b1_method: Annotated[
        str | None,
        Option(
            "--b1-method",
            help="B1 without a map: minimum_entropy or sharpening; default: none",
            metavar="METHOD",
        ),
    ] = None,
    bssfp: Annotated[
        list[Path] | None,
        Option(
            "--bssfp",
            help="balanced steady states for R2, one image per flip angle and phase increment, with sidecars",
            metavar="F...",
        ),
    ] = None,
    bssfp_phase: Annotated[
        list[Path] | None,
        Option("--bssfp-phase", help="their phases [rad], at four increments or more", metavar="F..."),
    ] = None,
    bssfp_increments: Annotated[
        list[str] | None,
        Option(
            "--bssfp-increments",
            help="phase increments [deg], one per balanced image; default: 180",
            metavar="DEG...",
            callback=bounds.bounded(-360, 360),
        ),
    ] = None,
    fieldmap: Annotated[
        Path | None,
        Option(
            "--fieldmap",
            help="off-resonance for balanced magnitudes, Hz or ppm by Units of its sidecar",
            metavar="F",
        ),
    ] = None,
    mask: Annotated[Path | None, Option("--mask", help="brain mask; default: computed")] = None,
    method: Annotated[
        str | None,
        Option("--method", help="fit of R1: linear or nonlinear; default: linear", metavar="METHOD"),
    ] = None,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    config: shared.ConfigFile = None,
    settings: shared.Settings = None,
    preset: shared.Preset = "accurate",
    dry_run: shared.DryRun = False,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Compute R1, T1, R2* and proton density from spoiled gradient echoes at several flip angles.

    Two flip angles or more are needed; R2* needs two echoes. Without a map of the transmit field R1 contains
    the error of the flip angle, squared; --b1-method estimates the field from R1 itself, except for its mean.

    Flip angles, repetition times and echo times are read from the JSON sidecars if present.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cli.options.parsers import parse_numbers
    from qsmengine.modalities.gre.stages import SECTIONS as FIELD_SECTIONS
    from qsmengine.modalities.vfa.session import SESSION, VfaRequest
    from qsmengine.modalities.vfa.stages import SECTIONS
    from qsmengine.pipeline.configuration.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    methods = [] if method is None else [f"flip_angles.method={method}"]
    if b1_method is not None:
        methods.append(f"transmit_field.method={b1_method}")
    settings_ = load_config(
        config,
        preset=preset,
        settings=[*methods, *(settings or ())],
        sections=(*SECTIONS, *FIELD_SECTIONS) if phase else SECTIONS,
    )
    request = VfaRequest(
        images=tuple(magnitude),
        out=out,
        flip_angles=parse_numbers(flip_angles, "--flip-angles"),
        repetition_times=parse_numbers(repetition_times, "--repetition-times"),
        echo_times=parse_numbers(echo_times, "--echo-times"),
        b1=tuple(b1 or ()),
        phase=tuple(phase or ()),
        bssfp=tuple(bssfp or ()),
        bssfp_phase=tuple(bssfp_phase or ()),
        bssfp_increments=parse_numbers(bssfp_increments, "--bssfp-increments"),
        fieldmap=fieldmap,
        mask=mask,
        force=force,
    )
    chosen = choose_device(device, threads, reporter)
    with reporter.progress():
        outcome = SESSION.run(request, settings_, chosen, dry_run=dry_run, progress=reporter.on_step)
    print_outcome(reporter, outcome, chosen, dry_run=dry_run)

"""``qsmengine qsm``: field, relaxation and susceptibility maps from raw gradient echoes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.outcome import print_outcome
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Option


def qsm(
    *,
    magnitude: Annotated[
        list[Path] | None,
        Option("--magnitude", "-m", help="magnitude: one 3-D file per echo, or one 4-D file", metavar="F..."),
    ] = None,
    phase: Annotated[
        list[Path] | None,
        Option("--phase", "-p", help="phase: one 3-D file per echo, or one 4-D file", metavar="F..."),
    ] = None,
    real: Annotated[
        list[Path] | None,
        Option("--real", help="real part, instead of magnitude and phase", metavar="F..."),
    ] = None,
    imag: Annotated[
        list[Path] | None, Option("--imag", help="imaginary part, together with --real", metavar="F...")
    ] = None,
    out: Annotated[Path, Option("--out", "-o", help="output folder")],
    echo_times: Annotated[
        list[str] | None,
        Option(
            "--echo-times",
            help="echo times [s]; default: from the sidecars",
            metavar="S...",
            callback=bounds.echo_times,
        ),
    ] = None,
    field_strength: Annotated[
        float | None,
        Option(
            "--field-strength",
            help="field strength [T]; default: from the sidecars",
            metavar="T",
            callback=bounds.bounded(*bounds.FIELD_STRENGTH),
        ),
    ] = None,
    mask: Annotated[Path | None, Option("--mask", help="brain mask; default: computed")] = None,
    labels: Annotated[Path | None, Option("--labels", help="label image with the reference region")] = None,
    r2: Annotated[
        Path | None, Option("--r2", help="R2 map [1/s] for --set chi_separation=r2prime", metavar="F")
    ] = None,
    repetitions: Annotated[
        str | None,
        Option(
            "--repetitions",
            help="repetitions of an echo in one file: average, each (into OUT/rep-1, ...), or a number",
            metavar="KIND",
        ),
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
    """Compute total and local field, R2*, T2* and susceptibility maps from raw gradient echoes.

    Optional steps: --set denoise=complex-mnlm or auto (as the first step), --set uncertainty=calibrated
    (intervals that contain the true chi) or monte_carlo (its standard deviation by noise), --set swi=homodyne
    or local_field, --set chi_separation=r2star or r2prime, --set reference=csf.

    Echo times and field strength are read from the JSON sidecars if present.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cli.options.parsers import parse_numbers
    from qsmengine.modalities.gre.session import QsmRequest, each_repetition, run_qsm_session
    from qsmengine.modalities.gre.stages import SECTIONS
    from qsmengine.pipeline.configuration.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    request = QsmRequest(
        magnitude=tuple(magnitude or ()),
        phase=tuple(phase or ()),
        real=tuple(real or ()),
        imag=tuple(imag or ()),
        out=out,
        echo_times=parse_numbers(echo_times, "--echo-times"),
        field_strength=field_strength,
        mask=mask,
        labels=labels,
        r2=r2,
        force=force,
    )
    chosen = choose_device(device, threads, reporter)
    runs = each_repetition(request) if repetitions == "each" else [(request, repetitions)]
    for one, kind in runs:
        more = [] if kind is None else [f"input.repetitions={kind}"]
        settings_ = load_config(config, preset=preset, settings=[*(settings or ()), *more], sections=SECTIONS)
        with reporter.progress():
            outcome = run_qsm_session(one, settings_, chosen, dry_run=dry_run, progress=reporter.on_step)
        print_outcome(reporter, outcome, chosen, dry_run=dry_run)

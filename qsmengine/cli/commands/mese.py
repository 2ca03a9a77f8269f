"""``qsmengine mese``: R2 and T2 from multi-echo spin echoes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.outcome import print_outcome
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Option


def mese(
    *,
    magnitude: Annotated[
        list[Path],
        Option("--magnitude", help="one image per echo, or one with the echoes as volumes", metavar="F..."),
    ],
    out: Annotated[Path, Option("--out", "-o", help="output folder")],
    echo_times: Annotated[
        list[str] | None,
        Option(
            "--echo-times",
            help="echo time [s], one per echo; default: from the sidecars",
            metavar="S...",
            callback=bounds.echo_times,
        ),
    ] = None,
    b1: Annotated[
        list[Path] | None,
        Option(
            "--b1",
            help="B1 map, relative to nominal or in percent, or two images (actual flip-angle imaging, double "
            "angle), on the grid of the images; default: fitted",
            metavar="F...",
        ),
    ] = None,
    r2star: Annotated[
        Path | None,
        Option("--r2star", help="R2* [1/s] on the grid of the images, for a map of R2'", metavar="F"),
    ] = None,
    mask: Annotated[Path | None, Option("--mask", help="brain mask; default: computed")] = None,
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
    """Compute R2 and T2 from multi-echo spin echoes.

    Stimulated echoes of imperfect refocusing pulses are part of the model, so every echo is used; four or more
    are needed, at multiples of one spacing. With --r2star the map R2' = R2* - R2 is written too. The R2 map is
    the input of chi separation: qsm --r2 F --set chi_separation=r2prime.

    Echo times are read from the JSON sidecars if present.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cli.options.parsers import parse_numbers
    from qsmengine.modalities.mese.session import SESSION, MeseRequest
    from qsmengine.modalities.mese.stages import SECTIONS
    from qsmengine.pipeline.configuration.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    settings_ = load_config(config, preset=preset, settings=settings or (), sections=SECTIONS)
    request = MeseRequest(
        tuple(magnitude), out, mask=mask, force=force, echo_times=parse_numbers(echo_times, "--echo-times"),
        b1=tuple(b1 or ()), r2star=r2star,
    )  # fmt: skip
    chosen = choose_device(device, threads, reporter)
    with reporter.progress():
        outcome = SESSION.run(request, settings_, chosen, dry_run=dry_run, progress=reporter.on_step)
    print_outcome(reporter, outcome, chosen, dry_run=dry_run)

"""``qsmengine anatomy``: brain, tissues and deep grey matter in a T1-weighted image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.outcome import print_outcome
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Option


def anatomy(
    *,
    t1: Annotated[Path, Option("--t1", help="T1-weighted image with skull", metavar="F")],
    out: Annotated[Path, Option("--out", "-o", help="output folder")],
    lesions: Annotated[
        Path | None,
        Option(
            "--lesions",
            help="mask of white-matter lesions on the image's grid; they are filled",
            metavar="F",
        ),
    ] = None,
    flair: Annotated[
        Path | None,
        Option(
            "--flair",
            help="FLAIR image of the same head, searched for lesions (screening only); on another grid it is "
            "aligned, which needs antspyx",
            metavar="F",
        ),
    ] = None,
    fill_screened: Annotated[
        bool, Option("--fill-screened", help="without --lesions, fill the lesions found in --flair")
    ] = False,
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
    """Segment brain, tissues and deep grey matter in a T1-weighted image.

    Writes fractions of grey matter, white matter and cerebrospinal fluid, labels of the deep grey matter, a
    brain mask, and tables of volumes. Structures of implausible volume or symmetry are marked as not reliable.

    With --flair it also writes candidates for lesions of white matter, their volume and their number: screening
    only, a person must look at each.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.modalities.t1w.session import ALONE, AnatomyRequest
    from qsmengine.modalities.t1w.stages import SECTIONS
    from qsmengine.pipeline.configuration.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    settings_ = load_config(config, preset=preset, settings=settings or (), sections=SECTIONS)
    request = AnatomyRequest(
        (t1,), out, mask=mask, force=force, lesions=lesions, flair=flair, fill_screened=fill_screened
    )
    chosen = choose_device(device, threads, reporter)
    with reporter.progress():
        outcome = ALONE.run(request, settings_, chosen, dry_run=dry_run, progress=reporter.on_step)
    print_outcome(reporter, outcome, chosen, dry_run=dry_run)

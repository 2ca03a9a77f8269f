"""``qsmengine qsm-ci``: interface to the QSM-CI benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Argument, Option


def qsm_ci(
    *,
    stage: Annotated[
        str,
        Argument(
            help="stage or span: field-mapping, bfr, dipole, unwrap+bfr, bfr+dipole or end-to-end",
            metavar="STAGE",
        ),
    ],
    input_dir: Annotated[Path, Argument(help="folder with params.json and the images", metavar="INPUT_DIR")],
    output_dir: Annotated[Path, Argument(help="output folder", metavar="OUTPUT_DIR")],
    method: Annotated[
        str | None,
        Option("--method", help="method; for a span, methods joined by +, such as vsharp+tkd", metavar="M[+M]"),
    ] = None,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    config: shared.ConfigFile = None,
    settings: shared.Settings = None,
    preset: shared.Preset = "accurate",
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Process a QSM-CI input folder and write its result (totalfield, localfield or chimap, in ppm)."""
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.sessions.qsm_ci import CiRequest, run_qsm_ci

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    request = CiRequest(
        stage=stage,
        inputs=input_dir,
        outputs=output_dir,
        methods=tuple(method.split("+")) if method else (),
        config=config,
        preset=preset,
        settings=tuple(settings or ()),
        force=force,
    )
    with reporter.progress():
        path, notes = run_qsm_ci(request, choose_device(device, threads, reporter), progress=reporter.on_step)
    reporter.notes(notes)
    reporter.say(str(path), file=str(path))

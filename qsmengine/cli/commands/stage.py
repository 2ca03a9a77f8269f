"""``qsmengine stage``: any registered method of any stage on files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.errors import UsageError


def stage(
    *,
    name: Annotated[str | None, typer.Argument(help="stage, such as background", metavar="[NAME]")] = None,
    method: Annotated[str | None, typer.Option("--method", help="method of the stage")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", help="input and its file (several echoes: F,F,...)", metavar="K=F"),
    ] = None,
    outputs: Annotated[
        list[str] | None, typer.Option("--output", "-o", help="output and its file", metavar="K=F")
    ] = None,
    units: Annotated[
        list[str] | None,
        typer.Option(
            "--unit", help="unit (ppm or Hz) of a field whose sidecar does not tell", metavar="K=UNIT"
        ),
    ] = None,
    field_strength: Annotated[
        float | None, typer.Option("--field-strength", help="in tesla; else from the sidecars", metavar="T")
    ] = None,
    list_methods: Annotated[
        bool, typer.Option("--list", help="print the methods with inputs, outputs, parameters, source")
    ] = False,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    settings: shared.Settings = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Run one method of one stage on files; --list shows what there is."""
    from qsmengine.cli.display.methods import print_methods
    from qsmengine.cli.options.parsers import parse_files, parse_pairs

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    if list_methods:
        print_methods(reporter, name)
        return
    if name is None:
        raise UsageError("name a stage, or list them with: qsmengine stage --list")
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.sessions.single import StageRequest, run_stage
    from qsmengine.stages.registry import methods_of

    known = methods_of(name)
    if method is None and len(known) > 1:
        raise UsageError(f"name a method of {name} with --method: {', '.join(known)}")
    request = StageRequest(
        stage=name,
        method=method or next(iter(known)),
        inputs=parse_pairs(inputs, "--input"),
        outputs=parse_files(outputs, "--output"),
        settings=settings or (),
        units=parse_pairs(units, "--unit"),
        field_strength=field_strength,
        force=force,
    )
    written: list[Path] = run_stage(request, choose_device(device, threads, reporter))
    for path in written:
        reporter.say(str(path), file=str(path))

"""``qsmengine stage``: run any registered method on files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Argument, Option
from qsmengine.errors import UsageError


def stage(
    *,
    name: Annotated[
        str | None, Argument(help="name of the stage, such as background", metavar="[NAME]")
    ] = None,
    method: Annotated[str | None, Option("--method", help="name of the method")] = None,
    inputs: Annotated[
        list[str] | None,
        Option("--input", "-i", help="name and file of an input (multi-echo: F,F,...)", metavar="K=F"),
    ] = None,
    outputs: Annotated[
        list[str] | None, Option("--output", "-o", help="name and file of an output", metavar="K=F")
    ] = None,
    units: Annotated[
        list[str] | None,
        Option("--unit", help="unit (ppm or Hz) of a field whose sidecar does not state it", metavar="K=UNIT"),
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
    list_methods: Annotated[
        bool, Option("--list", help="list methods with their inputs, outputs, parameters and source")
    ] = False,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    settings: shared.Settings = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Run one method of one stage on files; --list shows the available methods."""
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
    notes: list[str] = []
    written: list[Path] = run_stage(request, choose_device(device, threads, reporter), notes)
    reporter.notes(notes)
    for path in written:
        reporter.say(str(path), file=str(path))

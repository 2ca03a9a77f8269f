"""``qsmengine plan``: preview of a cohort run."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import cohort, shared
from qsmengine.cli.options.declared import Option


def plan(
    bids: cohort.Bids,
    out: cohort.Out,
    *,
    participants: cohort.Participants = None,
    sessions: cohort.Sessions = None,
    filter_file: cohort.FilterFile = None,
    derivatives: cohort.Derivatives = None,
    steps: cohort.Steps = None,
    lut: cohort.Lut = None,
    atlases: cohort.Atlases = None,
    echo_times: cohort.EchoTimes = None,
    field_strength: cohort.FieldStrength = None,
    device: shared.Device = "auto",
    config: shared.ConfigFile = None,
    settings: shared.Settings = None,
    preset: shared.Preset = "accurate",
    as_json: Annotated[bool, Option("--json", help="print the plan as JSON")] = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """List the sessions of a BIDS dataset with steps, sizes, memory and missing inputs; write nothing.

    The exit code is 0 if every session can run and 1 otherwise.
    """
    from qsmengine.backend.memory import available_memory
    from qsmengine.cli.display.plan import cohort_tree, print_cohort
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.pipeline.configuration.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    chosen = choose_device(device, None, reporter)
    made = cohort.make_plan(
        bids, out, load_config(config, preset=preset, settings=settings or ()),
        participants=participants, sessions=sessions, filter_file=filter_file, derivatives=derivatives,
        steps=steps, lut=lut, atlases=atlases, echo_times=echo_times, field_strength=field_strength,
    )  # fmt: skip
    have = available_memory(chosen)
    if as_json:
        tree: dict[str, Any] = cohort_tree(made, str(chosen), have)
        typer.echo(json.dumps(tree, indent=1))
    else:
        print_cohort(reporter, made, chosen, have)
    if any(session.problems or any(step.problems for step in session.steps) for session in made.sessions):
        raise typer.Exit(1)

"""``qsmengine plan``: what a run over a cohort would do."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from qsmengine.cli import cohort_options, options
from qsmengine.cli.reporter import Reporter


def plan(
    bids: cohort_options.Bids,
    out: cohort_options.Out,
    *,
    participants: cohort_options.Participants = None,
    sessions: cohort_options.Sessions = None,
    filter_file: cohort_options.FilterFile = None,
    derivatives: cohort_options.Derivatives = None,
    steps: cohort_options.Steps = None,
    lut: cohort_options.Lut = None,
    echo_times: cohort_options.EchoTimes = None,
    field_strength: cohort_options.FieldStrength = None,
    device: options.Device = "auto",
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    preset: options.Preset = "accurate",
    as_json: Annotated[bool, typer.Option("--json", help="print the plan as JSON")] = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    log_json: options.LogJson = False,
) -> None:
    """Every session of a BIDS dataset with its steps, sizes, memory and what is missing; writes nothing.

    Exit code 0 where every session can run, 1 where one cannot.
    """
    from qsmengine.backend.memory import available_memory
    from qsmengine.cli.devices import choose_device
    from qsmengine.cli.plans import cohort_tree, print_cohort
    from qsmengine.pipeline.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    chosen = choose_device(device, None, reporter)
    made = cohort_options.make_plan(
        bids, out, load_config(config, preset=preset, settings=settings or ()),
        participants=participants, sessions=sessions, filter_file=filter_file, derivatives=derivatives,
        steps=steps, lut=lut, echo_times=echo_times, field_strength=field_strength,
    )  # fmt: skip
    have = available_memory(chosen)
    if as_json:
        tree: dict[str, Any] = cohort_tree(made, str(chosen), have)
        typer.echo(json.dumps(tree, indent=1))
    else:
        print_cohort(reporter, made, chosen, have)
    if any(session.problems or any(step.problems for step in session.steps) for session in made.sessions):
        raise typer.Exit(1)

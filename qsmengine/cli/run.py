"""``qsmengine run``: a cohort from BIDS to derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qsmengine.cli import cohort_options, options
from qsmengine.cli.cohort_view import CohortView
from qsmengine.cli.inputs import parse_bytes
from qsmengine.cli.reporter import Reporter

_WORK = "Workers"


def run(
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
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=0,
            rich_help_panel=_WORK,
            metavar="N",
            help="processes; 0 works in this one; else one a GPU, or as many as cores and memory allow",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            "--mem",
            help="all workers together, such as 48GB",
            rich_help_panel=_WORK,
            metavar="SIZE",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", help="running Dask scheduler to join", rich_help_panel=_WORK, metavar="ADDRESS"
        ),
    ] = None,
    slurm: Annotated[
        Path | None,
        typer.Option(
            "--slurm", help="workers are jobs of Slurm", rich_help_panel=_WORK, metavar="PROFILE.yaml"
        ),
    ] = None,
    stop_on_first_crash: Annotated[
        bool,
        typer.Option(
            "--stop-on-first-crash", help="begin no more sessions after one failed", rich_help_panel=_WORK
        ),
    ] = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    preset: options.Preset = "accurate",
    dry_run: options.DryRun = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="compute again what did not change", rich_help_panel="Output"),
    ] = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    log_json: options.LogJson = False,
) -> None:
    """Reconstruct every session of a BIDS dataset; what is done and unchanged is not done again.

    Exit code 0 where all sessions are done, 1 where some failed or could not run, 130 after Ctrl-C or SIGTERM:
    the same command then goes on where it stopped.
    """  # fmt: skip
    from qsmengine.cli.devices import choose_device
    from qsmengine.cohort.run import run_cohort
    from qsmengine.cohort.settings import RunSettings
    from qsmengine.pipeline.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    chosen = RunSettings(
        workers=workers, device=device, threads=threads, memory=parse_bytes(memory, "--memory"),
        scheduler=scheduler, slurm=slurm, force=force, stop_on_first_crash=stop_on_first_crash,
    )  # fmt: skip
    if scheduler is None and slurm is None:
        choose_device(device, threads, reporter, launch=False)
    view = CohortView(reporter)
    plan = cohort_options.make_plan(
        bids, out, load_config(config, preset=preset, settings=settings or ()),
        participants=participants, sessions=sessions, filter_file=filter_file, derivatives=derivatives,
        steps=steps, lut=lut, echo_times=echo_times, field_strength=field_strength,
    )  # fmt: skip
    if dry_run:
        from qsmengine.backend.device import resolve_device
        from qsmengine.backend.memory import available_memory
        from qsmengine.cli.plans import print_cohort

        machine = resolve_device(device, threads)
        print_cohort(reporter, plan, machine, available_memory(machine))
        return
    reporter.notes(plan.notes)
    with view:
        outcome = run_cohort(plan, chosen, view.on_event)
    view.summary(outcome)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)

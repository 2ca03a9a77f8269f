"""``qsmengine run``: process a cohort from BIDS to derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qsmengine.cli.display.cohort import CohortView
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, cohort, shared
from qsmengine.cli.options.declared import Option
from qsmengine.cli.options.parsers import parse_bytes

_WORK = "Workers"


def run(
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
    workers: Annotated[
        int | None,
        Option(
            "--workers",
            callback=bounds.bounded(*bounds.WORKERS),
            rich_help_panel=_WORK,
            metavar="N",
            help="worker processes; 0: none; default: one per GPU, or as many as cores and memory allow",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        Option(
            "--memory",
            "--mem",
            help="total memory of all workers, such as 48GB",
            rich_help_panel=_WORK,
            metavar="SIZE",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        Option(
            "--scheduler",
            help="address of a running Dask scheduler to join",
            rich_help_panel=_WORK,
            metavar="ADDRESS",
        ),
    ] = None,
    slurm: Annotated[
        Path | None,
        Option(
            "--slurm",
            help="YAML profile; workers run as Slurm jobs",
            rich_help_panel=_WORK,
            metavar="PROFILE.yaml",
        ),
    ] = None,
    dashboard: Annotated[
        bool,
        Option(
            "--dashboard",
            help="serve Dask's dashboard on the loopback interface (needs bokeh)",
            rich_help_panel=_WORK,
        ),
    ] = False,
    stop_on_first_crash: Annotated[
        bool,
        Option("--stop-on-first-crash", help="start no further session after a failure", rich_help_panel=_WORK),
    ] = False,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    config: shared.ConfigFile = None,
    settings: shared.Settings = None,
    preset: shared.Preset = "accurate",
    dry_run: shared.DryRun = False,
    force: Annotated[
        bool,
        Option("--force", help="run every step again, even if nothing changed", rich_help_panel="Output"),
    ] = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Reconstruct every session of a BIDS dataset; steps that are complete and unchanged are skipped.

    The exit code is 0 if all sessions are done, 1 if some failed or could not run, and 130 after Ctrl-C or
    SIGTERM; the same command then resumes the run.
    """  # fmt: skip
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cohort.run import run_cohort
    from qsmengine.cohort.settings import RunSettings
    from qsmengine.pipeline.configuration.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    chosen = RunSettings(
        workers=workers, device=device, threads=threads, memory=parse_bytes(memory, "--memory"),
        scheduler=scheduler, slurm=slurm, force=force, stop_on_first_crash=stop_on_first_crash,
        dashboard=dashboard,
    )  # fmt: skip
    if scheduler is None and slurm is None:
        choose_device(device, threads, reporter, launch=False)
    view = CohortView(reporter)
    plan = cohort.make_plan(
        bids, out, load_config(config, preset=preset, settings=settings or ()),
        participants=participants, sessions=sessions, filter_file=filter_file, derivatives=derivatives,
        steps=steps, lut=lut, atlases=atlases, echo_times=echo_times, field_strength=field_strength,
    )  # fmt: skip
    if dry_run:
        from qsmengine.backend.device import resolve_device
        from qsmengine.backend.memory import available_memory
        from qsmengine.cli.display.plan import print_cohort

        machine = resolve_device(device, threads)
        print_cohort(reporter, plan, machine, available_memory(machine))
        return
    reporter.notes(plan.notes)
    with view:
        outcome = run_cohort(plan, chosen, view.on_event)
    view.summary(outcome)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)

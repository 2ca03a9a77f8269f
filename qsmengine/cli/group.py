"""``qsmengine group``: group models over a cohort's region tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qsmengine.cli import options
from qsmengine.cli.reporter import Reporter


def group(
    *,
    design: Annotated[Path, typer.Option("--design", help="YAML: outcomes, groups, covariates, correction")],
    derivatives: Annotated[Path, typer.Argument(help="folder with sub-*/**/*_desc-dgm_stats.tsv")],
    out: Annotated[Path, typer.Argument(help="folder for the tables")],
    participants: Annotated[
        Path | None, typer.Option("--participants", help="participants.tsv; else the one in DERIVATIVES")
    ] = None,
    force: options.Force = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    log_json: options.LogJson = False,
) -> None:
    """Analysis of covariance of regional values between groups, with adjusted means and contrasts."""
    from qsmengine.pipeline.staging import check_output
    from qsmengine.stats.groups import run_group_analysis

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    names = [Path(name) for name in ("group_ancova.tsv", "excluded.tsv", "design.json")]
    check_output(out, names, [design], force=force)
    result = run_group_analysis(design, derivatives, out, participants=participants)
    if len(result.excluded):
        reporter.note(f"{len(result.excluded)} exclusions, see {out / 'excluded.tsv'}")
    reporter.say(str(out / names[0]), file=str(out / names[0]))

"""``qsmengine group``: statistical models over a cohort's region tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Argument, Option


def group(
    *,
    design: Annotated[Path, Option("--design", help="YAML: one design, or a list of models")],
    derivatives: Annotated[Path, Argument(help="folder with sub-*/**/*_desc-dgm_stats.tsv")],
    out: Annotated[Path, Argument(help="folder for the tables")],
    participants: Annotated[
        Path | None, Option("--participants", help="participants.tsv; default: the one in DERIVATIVES")
    ] = None,
    exclude: Annotated[
        Path | None,
        Option(
            "--exclude",
            help="ratings saved from the page of the cohort; sessions with verdict exclude are left out",
        ),
    ] = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Fit group models of regional values: one analysis of covariance, or the models of an analysis file."""
    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    run_design(design, derivatives, out, participants, reporter, force=force, exclude=exclude)


def run_design(
    design: Path,
    derivatives: Path,
    out: Path,
    participants: Path | None,
    reporter: Reporter,
    *,
    force: bool,
    exclude: Path | None = None,
) -> None:
    """Fit the models of a design or analysis file to the tables below `derivatives`; print the output paths."""
    from qsmengine.pipeline.outputs.staging import check_output
    from qsmengine.stats.analysis.description import is_analysis
    from qsmengine.stats.analysis.distant import distant_note
    from qsmengine.stats.analysis.run_design import run_group_analysis
    from qsmengine.stats.analysis.run_models import OUTPUTS, run_analysis

    models = is_analysis(design)
    tables = OUTPUTS if models else ("group_ancova", "excluded", "distant")
    names = [Path(f"{name}.tsv") for name in tables]
    names.append(Path("analysis.json" if models else "design.json"))
    check_output(out, names, [design, *filter(None, [exclude])], force=force)
    run = run_analysis if models else run_group_analysis
    result = run(design, derivatives, out, participants=participants, exclude=exclude)
    if len(result.excluded):
        reporter.note(f"{len(result.excluded)} exclusions, see {out / 'excluded.tsv'}")
    if far := distant_note(result.distant):
        reporter.note(f"{far}; see {out / 'distant.tsv'}")
    reporter.notes(list(result.remarks))
    reporter.say(str(out / names[0]), file=str(out / names[0]))

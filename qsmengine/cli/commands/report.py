"""``qsmengine report``: a page per session, a cohort page, methods and references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Argument, Option


def report(
    *,
    out: Annotated[Path, Argument(help="folder with the results of a cohort or of single runs")],
    sessions: Annotated[
        list[str] | None,
        Option("--session", help="write only the page of this session, sub-X[_ses-Y]; may be repeated"),
    ] = None,
    interactive: Annotated[
        bool,
        Option(
            "--interactive", help="also write a page per session whose volumes can be browsed (up to 15 MB)"
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        Option(
            "--jobs",
            help="processes used for many pages",
            metavar="N",
            callback=bounds.bounded(*bounds.THREADS),
        ),
    ] = None,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Write a page per session, a cohort page (index.html), methods and references (logs/CITATION.md).

    Everything is read from the files in the folder; nothing is recomputed. Pages load nothing from a
    network. The cohort page sorts, filters, and rates sessions where scripts are allowed, and works without.
    Sessions with files that cannot be read are marked as damaged; the exit code is then 1.
    """
    from qsmengine.cohort.outputs.reports import write_reports

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)

    def on_page(done: int, total: int) -> None:
        reporter.detail(f"page {done} of {total}")

    problems = list[str]()
    for path in write_reports(
        out, sessions, jobs=jobs, interactive=interactive, on_page=on_page,
        on_problem=problems.append, on_note=reporter.note,
    )[-1:]:  # fmt: skip
        reporter.say(str(path), file=str(path))
    reporter.notes(problems)
    if problems:
        raise typer.Exit(1)

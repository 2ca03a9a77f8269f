"""``qsmengine status``: progress of a cohort, also during a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Argument, Option

if TYPE_CHECKING:
    from qsmengine.cohort.ledger.status import CohortStatus


def status(
    *,
    out: Annotated[Path, Argument(help="output folder of qsmengine run", metavar="OUT")],
    as_json: Annotated[bool, Option("--json", help="print one JSON object on stdout")] = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Show which sessions are done, running, failed or blocked, and why; reads only the ledger."""
    from qsmengine.cohort.ledger.status import cohort_status

    reporter = Reporter(quiet=quiet, log_json=log_json)
    found = cohort_status(out)
    if as_json:
        reporter.say(json.dumps(found.as_tree(), indent=2))
        return
    counts = ", ".join(f"{number} {name}" for name, number in found.counts.items())
    reporter.say(f"{len(found.sessions)} sessions: {counts or 'none started'}", **found.counts)
    _print_sessions(reporter, found)


def _print_sessions(reporter: Reporter, found: CohortStatus) -> None:
    """Print a line for each session that is neither done nor waiting."""
    for session in found.of("running"):
        where = ", ".join(part for part in (session.step, session.device) if part) or "starting"
        reporter.say(
            f"running  {session.session}: {where} on {session.worker}, last seen {session.silent:.0f} s ago"
        )
    for session in found.of("left"):
        reporter.say(f"left     {session.session}: its worker is gone; the next run restarts it")
    for name in ("failed", "blocked", "damaged"):
        for session in found.of(name):
            for reason in session.reasons or ("no reason recorded",):
                reporter.say(f"{name:<8} {session.session}: {reason}")

"""``qsmengine quality``: table of the quality measures of all sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared
from qsmengine.cli.options.declared import Argument


def quality(
    *,
    out: Annotated[Path, Argument(help="folder with the results of a cohort or of single runs")],
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Collect the quality measures of all sessions into one table and list those that need attention.

    The table is OUT/group/desc-quality_metrics.tsv. Red means that a measure is unusable, amber that it is
    outside its good range.
    """
    from qsmengine.cohort.outputs.quality_tables import write_quality_table

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    target, found = write_quality_table(out)
    for light in ("red", "amber"):
        for one in found:
            if one.verdict.light == light:
                name = one.stem or one.session
                reporter.say(f"{light}: {name}, {one.step}: {'; '.join(one.verdict.reasons)}")
    counts = {light: sum(one.verdict.light == light for one in found) for light in ("green", "amber", "red")}
    reporter.say(", ".join(f"{count} {light}" for light, count in counts.items()))
    reporter.say(str(target), file=str(target))

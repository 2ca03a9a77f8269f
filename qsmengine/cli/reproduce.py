"""``qsmengine reproduce``: a published study, its tables beside the published ones."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qsmengine.cli import options
from qsmengine.cli.reporter import Reporter


class Study(StrEnum):
    """Studies that can be reproduced."""

    pontillo2019 = "pontillo2019"


class Level(StrEnum):
    """Where a reproduction starts."""

    table = "table"


def reproduce(
    *,
    study: Annotated[Study, typer.Argument(help="the study")],
    out: Annotated[Path, typer.Argument(help="folder for tables, figures and the page")],
    level: Annotated[Level, typer.Option("--level", help="table: draw regional values")] = Level.table,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="virtual cohorts", metavar="N")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="seed of the first cohort", metavar="N")] = 0,
    force: options.Force = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    log_json: options.LogJson = False,
) -> None:
    """Draw virtual cohorts with a study's published figures, run its models, compare cell by cell."""
    from qsmengine.pipeline.staging import check_output, staged
    from qsmengine.studies.pontillo2019.page import PAGE_OUTPUTS, write_page
    from qsmengine.studies.pontillo2019.reproduce import OUTPUTS, reproduce_table

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    names = [Path(f"{name}.tsv") for name in OUTPUTS]
    check_output(out, [*names, *map(Path, PAGE_OUTPUTS)], [], force=force)
    reporter.detail(f"{study.value}, level {level.value}, {seeds} cohorts from seed {seed}")
    with staged(out) as folder:
        made = reproduce_table(
            folder,
            seeds=seeds,
            first_seed=seed,
            on_seed=lambda done, total: reporter.detail(f"cohort {done} of {total}"),
        )
        write_page(folder, seeds=seeds, first_seed=seed)
    for line in made.lines():
        reporter.say(line)
    reporter.say(str(out / PAGE_OUTPUTS[-1]), file=str(out / PAGE_OUTPUTS[-1]))

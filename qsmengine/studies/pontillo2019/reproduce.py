"""Reproduction from regional tables: draw cohorts, fit models, compare cells, write files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from qsmengine.errors import UsageError
from qsmengine.stats.tables import Dictionary, write_table
from qsmengine.studies.cells import CELLS, RECOVERY, lines, marks, recovery
from qsmengine.studies.pontillo2019.cells import Fitted, compare_cells
from qsmengine.studies.pontillo2019.cohort import UNITS, draw_cohort
from qsmengine.studies.pontillo2019.models import fit_study
from qsmengine.studies.pontillo2019.unadjusted import (
    COMBINED,
    UNADJUSTED,
    combined_subgroups,
    unadjusted_differences,
)

OUTPUTS = ("cells", "recovery", "unadjusted", "combined", "cohort", "tests", "blocks", "coefficients")


@dataclass(frozen=True)
class TableReproduction:
    """Results of a reproduction from regional tables.

    Parameters
    ----------
    cells
        Every printed cell with that of the first cohort.
    recovery
        Every printed cell with the share of cohorts that agree.
    unadjusted
        Differences of Table 2 recomputed from its printed means and standard deviations.
    """

    cells: pd.DataFrame
    recovery: pd.DataFrame
    unadjusted: pd.DataFrame

    def lines(self) -> list[str]:
        """Return a line of text per cell, followed by averages."""
        found = lines(self.cells, self.recovery)
        good, n = int(self.unadjusted["agrees"].sum()), len(self.unadjusted)
        found.append(f"Table 2 from its printed values (Welch): {good} of {n} p values agree in significance")
        return found


def reproduce_table(
    out: str | Path, *, seeds: int = 1, first_seed: int = 0, on_seed: Callable[[int, int], None] | None = None
) -> TableReproduction:
    """Draw `seeds` cohorts, fit the models of the paper to each and write the tables of `OUTPUTS`.

    Parameters
    ----------
    out
        Output folder.
    seeds, first_seed
        Number of cohorts, and seed of the first, which cohort.tsv, tests.tsv, blocks.tsv, coefficients.tsv and
        cells.tsv describe.
    on_seed
        Called with (number done, total) after every cohort.

    Raises
    ------
    UsageError
        For fewer than one seed.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: need at least 1")
    from qsmengine.stats.analysis import model_columns as columns

    fitted: Fitted | None = None
    compared = []
    for i in range(seeds):
        tests, regressions, cohort = fit_study(draw_cohort(first_seed + i))
        result = Fitted.of(tests, regressions, cohort)
        fitted = fitted or result
        compared.append(compare_cells(result))
        if on_seed is not None:
            on_seed(i + 1, seeds)
    assert fitted is not None  # noqa: S101
    folder = Path(out)
    made = write_cells(folder, compared)
    write_table(combined_subgroups(), folder / "combined.tsv", COMBINED)
    cohort = fitted.cohort.drop(columns="session_id")
    write_table(cohort, folder / "cohort.tsv", _dictionary(cohort))
    write_table(fitted.tests, folder / "tests.tsv", columns.TESTS)
    write_table(fitted.blocks, folder / "blocks.tsv", columns.BLOCKS)
    write_table(fitted.coefficients, folder / "coefficients.tsv", columns.COEFFICIENTS)
    return made


def write_cells(folder: Path, compared: Sequence[pd.DataFrame]) -> TableReproduction:
    """Write ``cells.tsv`` of the first cohort, ``recovery.tsv`` of all, and ``unadjusted.tsv``."""
    made = TableReproduction(compared[0], recovery(compared), unadjusted_differences())
    write_table(marks(made.cells), folder / "cells.tsv", CELLS)
    write_table(made.recovery, folder / "recovery.tsv", RECOVERY)
    write_table(marks(made.unadjusted), folder / "unadjusted.tsv", UNADJUSTED)
    return made


def _dictionary(cohort: pd.DataFrame) -> Dictionary:
    described = {
        "participant_id": "Virtual participant",
        "group": "HC, RRMS or PMS",
        "cohort": "HC or MS",
        "dmt": "Treatment: 0 none, 1 first line, 2 second line",
        "log_ll": "Natural logarithm of lesion_load",
    }
    return {
        str(name): {"Description": described.get(str(name), str(name).replace("_", " of ", 1))}
        | ({"Units": UNITS[str(name)]} if str(name) in UNITS else {})
        for name in cohort.columns
    }

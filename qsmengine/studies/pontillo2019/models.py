"""Models of the paper: tests of Tables 1 and 2, partial correlations, hierarchical regressions."""

from __future__ import annotations

from functools import cache
from importlib import resources

import pandas as pd

from qsmengine.stats.analysis.cohort_table import CohortTable, add_columns
from qsmengine.stats.analysis.description import Analysis, Hierarchical, Partial, load_analysis
from qsmengine.stats.analysis.run_models import ModelTables, fit_models
from qsmengine.studies.pontillo2019.cohort import UNITS
from qsmengine.studies.pontillo2019.published import METRICS, SIGNIFICANCE, STRUCTURES

CLINICAL = ("age", "sex", "disease_duration", "dmt")
PATIENTS = {"MS": ("RRMS", "PMS"), "RRMS": ("RRMS",), "PMS": ("PMS",)}
EDSS = "edss"


def fit_study(cohort: pd.DataFrame) -> tuple[ModelTables, ModelTables, pd.DataFrame]:
    """Fit every model of the paper.

    Parameters
    ----------
    cohort
        Columns as from :func:`qsmengine.studies.pontillo2019.cohort.draw_cohort`.

    Returns
    -------
    tuple
        Tests of Tables 1 and 2 with partial correlations; regressions of Tables 3 and 4 and of EDSS; the
        cohort with the logarithm of the lesion load.

    Raises
    ------
    InputError
        When a model cannot be fitted.
    """
    plan = _analysis()
    prepared = add_columns(plan, CohortTable(_typed(cohort), UNITS, {}))
    tests = fit_models(plan, prepared, source="pontillo2019")
    local = _significant(tests)
    models = [
        Hierarchical(
            name=f"{group} {structure}",
            kind="hierarchical",
            outcome=(f"volume_{structure}",),
            blocks=(CLINICAL, ("log_ll",), *((local[group, structure],) if local[group, structure] else ())),
            where={"group": PATIENTS[group]},
            family=group,
        )
        for group in PATIENTS
        for structure in STRUCTURES
    ]
    disability = Hierarchical(
        name="MS edss",
        kind="hierarchical",
        outcome=(EDSS,),
        blocks=(CLINICAL, ("log_ll",), ("volume_thalamus",)),
        where={"group": PATIENTS["MS"]},
    )
    regressions = Analysis(correction="bonferroni", models=(*models, disability))
    return tests, fit_models(regressions, prepared, source="pontillo2019"), prepared.table


@cache
def _analysis() -> Analysis:
    """Return the analysis of Tables 1 and 2, with the partial correlations of every group and structure."""
    folder = resources.files("qsmengine.studies.pontillo2019") / "data" / "analysis.yaml"
    with resources.as_file(folder) as path:
        packaged = load_analysis(path)
    partial = [
        Partial.model_validate(
            {
                "name": f"partial {group} {metric}_{structure}",
                "family": f"partial {group} {structure}",
                "kind": "partial_correlation",
                "outcome": f"{metric}_{structure}",
                "with": f"volume_{structure}",
                "covariates": ("age", "sex", "disease_duration"),
                "where": {"group": PATIENTS[group]},
            }
        )
        for group in PATIENTS
        for structure in STRUCTURES
        for metric in METRICS
    ]
    return packaged.model_copy(update={"models": (*packaged.models, *partial)})


def _significant(tests: ModelTables) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return metrics whose partial correlation with the volume of their structure has p < 0.05, uncorrected."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    partial = tests.tests[tests.tests["kind"] == "partial_correlation"]
    p = dict(zip(partial["model"], partial["p"], strict=True))
    for group in PATIENTS:
        for structure in STRUCTURES:
            names = [f"{metric}_{structure}" for metric in METRICS]
            found[group, structure] = tuple(
                name for name in names if p[f"partial {group} {name}"] < SIGNIFICANCE
            )
    return found


def _typed(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the cohort with text columns as categories and an empty session."""
    table = cohort.copy()
    for name in ("group", "cohort", "sex", "treated"):
        table[name] = table[name].astype("category")
    table.insert(1, "session_id", None)
    return table

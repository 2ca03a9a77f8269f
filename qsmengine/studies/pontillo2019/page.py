"""Figures and page of the reproduction, from its tables on disk."""

from __future__ import annotations

from pathlib import Path

from qsmengine.report.scatter_matrix import scatter_matrix
from qsmengine.report.study_page import LinkedFigure, study_page
from qsmengine.studies.pontillo2019.published import STRUCTURES

PAGE_OUTPUTS = ("figure2.png", "figure3.png", "index.html")
_TITLES = {
    "figure2.png": ("Figure 2: volumes of deep grey matter and their predictors, RRMS", {"RRMS": "#1f5f99"}),
    "figure3.png": ("Figure 3: volumes of deep grey matter and their predictors, PMS", {"PMS": "#b3541e"}),
}


def table_summary(seeds: int, first_seed: int) -> str:
    """Return the summary of a reproduction from regional tables."""
    return (
        f"Pontillo et al. 2019, doi:10.3174/ajnr.A5915. {seeds} virtual cohorts of 118 participants, seeds "
        f"{first_seed} to {first_seed + seeds - 1}, drawn with the printed means, standard deviations and "
        "regressions; values that the paper does not print are assumed. Each cell shows the value of the first "
        "cohort, the printed value, agreement, and the share of the cohorts that agree. A p value agrees "
        "if it lies on the same side of 0.05 with the same sign; other values agree if the printed one lies "
        "in their 95 % confidence interval."
    )


def write_page(folder: str | Path, cohort: str, summary: str) -> Path:
    """Write the figures of the table `cohort` and ``index.html`` to `folder`; return the path of the page."""
    folder = Path(folder)
    for name, (title, groups) in _TITLES.items():
        scatter_matrix(
            folder / cohort,
            folder / name,
            title,
            outcomes=[f"volume_{s}" for s in STRUCTURES],
            predictors=[("log_ll", "dmt", *(f"{m}_{s}" for m in ("MD", "FA", "chi"))) for s in STRUCTURES],
            groups=groups,
        )
    figures = [LinkedFigure(title, name) for name, (title, _) in _TITLES.items()]
    page = folder / "index.html"
    study_page(folder, page, "Determinants of deep grey matter atrophy in MS, reproduced", summary, figures)
    return page

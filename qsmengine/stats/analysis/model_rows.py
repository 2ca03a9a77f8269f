"""Fitted models as rows of the result tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.stats.analysis import description as a
from qsmengine.stats.analysis.selection import with_groups
from qsmengine.stats.derivatives.typed_columns import odd_levels
from qsmengine.stats.models import comparisons
from qsmengine.stats.models.ancova import AncovaFit, fit_ancova
from qsmengine.stats.models.checks import Check, levene, normality
from qsmengine.stats.models.effects import Interval
from qsmengine.stats.models.mixed import fit_mixed
from qsmengine.stats.models.power import solve_power
from qsmengine.stats.models.regression import fit_hierarchical, partial_correlation

Row = dict[str, Any]
_COMPARE = {
    "student_t": comparisons.student_t,
    "welch_t": comparisons.welch_t,
    "mann_whitney": comparisons.mann_whitney,
}


@dataclass
class Rows:
    """Rows of every result table; rows of one family are corrected together."""

    tests: list[Row] = field(default_factory=list)
    checks: list[Row] = field(default_factory=list)
    blocks: list[Row] = field(default_factory=list)
    coefficients: list[Row] = field(default_factory=list)
    variances: list[Row] = field(default_factory=list)


def add_model(model: a.Model, outcome: str, data: pd.DataFrame, levels: Sequence[str], rows: Rows) -> None:
    """Fit one model to one outcome; `data` has complete rows, `levels` are the groups, the reference first."""
    match model:
        case a.Checks():
            _checks(model, outcome, data, levels, rows)
        case a.Comparison():
            _comparison(model, outcome, data, levels, rows)
        case a.Ancova():
            _ancova(model, outcome, data, levels, rows)
        case a.Partial():
            _partial(model, outcome, data, rows)
        case a.Hierarchical():
            _hierarchical(model, outcome, data, rows)
        case a.Mixed():
            _mixed(model, outcome, data, rows)


def add_power(model: a.Power, rows: Rows) -> None:
    """Solve for the quantity that the model omits."""
    given = model.model_dump(exclude={"kind", "name"})
    unknown = [key for key in ("effect", "n", "power") if given[key] is None]
    solved = solve_power(**given)
    rows.tests.append({"model": model.name, "kind": "power", "term": unknown[0], "estimate": solved})


def _head(model: a.Model, outcome: str) -> Row:
    return {"model": model.name, "kind": model.kind, "outcome": outcome}


def _interval(prefix: str, interval: Interval) -> Row:
    return {prefix: interval.value, f"{prefix}_low": interval.low, f"{prefix}_high": interval.high}


def _check_rows(head: Row, group: str | None, n: int, checks: Sequence[Check]) -> list[Row]:
    return [
        {**head, "group": group, "check": c.name, "n": n, "statistic": c.statistic, "p": c.p, "note": c.note}
        for c in checks
    ]


def _checks(model: a.Checks, outcome: str, data: pd.DataFrame, levels: Sequence[str], rows: Rows) -> None:
    head, values = _head(model, outcome), data[outcome].to_numpy(np.float64)
    if model.groups is None:
        rows.checks += _check_rows(head, None, len(values), normality(values))
        return
    parts = {level: values[(data[model.groups.column] == level).to_numpy()] for level in levels}
    for level, part in parts.items():
        rows.checks += _check_rows(head, level, len(part), normality(part))
    rows.checks += _check_rows(head, None, len(values), [levene(list(parts.values()), model.centre)])


def _comparison(
    model: a.Comparison, outcome: str, data: pd.DataFrame, levels: Sequence[str], rows: Rows
) -> None:
    reference, column = levels[0], data[model.groups.column]
    for level in levels[1:]:
        if model.kind == "chi_squared":
            own = data[column.isin([level, reference])]
            if reason := odd_levels(own[outcome], categorical=True):
                raise InputError(f"{outcome}: {reason}")
            test = comparisons.chi_squared(own[model.groups.column].astype(str), own[outcome].astype(str))
        else:
            parts = [data.loc[column == name, outcome].to_numpy(np.float64) for name in (level, reference)]
            test = _COMPARE[model.kind](*parts)
        rows.tests.append(
            {
                **_head(model, outcome),
                "term": level,
                "reference": reference,
                "n": sum(test.n),
                "statistic_name": test.statistic_name,
                "statistic": test.statistic,
                "df1": test.df,
                "p": test.p,
                "family": model.family or model.name,
                **_interval("estimate", test.difference),
                "effect_name": test.effect_name,
                **_interval("effect", test.effect),
            }
        )


def _ancova(model: a.Ancova, outcome: str, data: pd.DataFrame, levels: Sequence[str], rows: Rows) -> None:
    name, family = model.groups.column, model.family or model.name
    columns = with_groups(data, name, levels, model.covariates)
    pairs = [(name, covariate) for covariate in model.interactions]
    values = data[outcome].to_numpy(np.float64)
    fit = fit_ancova(values, columns, name, pairs, sum_of_squares=model.sum_of_squares)
    for test in fit.terms.values():
        rows.tests.append(
            {
                **_head(model, outcome),
                "term": test.term,
                "reference": levels[0] if test.term == name else None,
                "n": len(values),
                "statistic_name": "F",
                "statistic": test.f,
                "df1": test.df,
                "df2": test.df_residual,
                "p": test.p,
                "family": family if test.term == name else None,
                "effect_name": "partial_eta_squared",
                **_interval("effect", test.effect),
                "note": f"type {model.sum_of_squares}",
            }
        )
    if not model.interactions:
        rows.tests += [{**_head(model, outcome), **row} for row in _contrasts(fit, name, levels, family)]


def _contrasts(fit: AncovaFit, group: str, levels: Sequence[str], family: str) -> list[Row]:
    """Return rows of the adjusted differences from the reference."""
    return [
        {
            "term": level,
            "reference": levels[0],
            "n": sum(fit.n.values()),
            "statistic_name": "t",
            "statistic": contrast.t,
            "df2": fit.terms[group].df_residual,
            "p": contrast.p,
            "family": f"{family}/contrasts",
            **_interval("estimate", contrast.value),
            "note": "adjusted difference",
        }
        for level, contrast in fit.contrasts.items()
    ]


def _partial(model: a.Partial, outcome: str, data: pd.DataFrame, rows: Rows) -> None:
    x = data[outcome].to_numpy(np.float64)
    for other in model.with_:
        covariates = data[[c for c in model.covariates if c not in {outcome, other}]]
        found = partial_correlation(x, data[other].to_numpy(np.float64), covariates)
        rows.tests.append(
            {
                **_head(model, outcome),
                "term": other,
                "n": found.n,
                "statistic_name": "t",
                "statistic": found.t,
                "df2": found.df,
                "p": found.p,
                "family": model.family or model.name,
                "effect_name": "partial_r" if model.covariates else "r",
                **_interval("effect", found.r),
            }
        )


def _hierarchical(model: a.Hierarchical, outcome: str, data: pd.DataFrame, rows: Rows) -> None:
    fitted = fit_hierarchical(data[outcome].to_numpy(np.float64), [data[list(names)] for names in model.blocks])
    head = _head(model, outcome)
    for block in fitted:
        last = block is fitted[-1]
        shared = {key: getattr(block, key) for key in ("n", "r2", "r2_adjusted", "f", "df1", "df2", "p")}
        added = {key: getattr(block, key) for key in ("delta_r2", "delta_f", "delta_df", "p_delta")}
        family = (model.family or model.name) if last else None
        rows.blocks.append({**head, "block": block.number, **shared, **added, "family": family})
        for c in block.coefficients:
            rows.coefficients.append(
                {
                    **head,
                    "block": block.number,
                    "predictor": c.name,
                    "n": block.n,
                    **_interval("b", c.b),
                    "se": c.se,
                    **_interval("beta", c.beta),
                    "statistic_name": "t",
                    "statistic": c.t,
                    "p": c.p,
                    "vif": c.vif,
                }
            )
        rows.checks += _check_rows(head, f"block {block.number}", block.n, block.residuals)


def _mixed(model: a.Mixed, outcome: str, data: pd.DataFrame, rows: Rows) -> None:
    fixed = data[list(model.fixed)]
    fit = fit_mixed(
        data[outcome].to_numpy(np.float64), fixed, data[model.unit].astype(str), slopes=model.slopes
    )
    head = _head(model, outcome)
    for effect in fit.fixed:
        rows.coefficients.append(
            {
                **head,
                "predictor": effect.name,
                "n": fit.n,
                **_interval("b", effect.b),
                "se": effect.se,
                "statistic_name": "z",
                "statistic": effect.z,
                "p": effect.p,
            }
        )
    for component, sd in {**fit.random_sd, "residual": fit.residual_sd}.items():
        rows.variances.append(
            {
                **head,
                "component": component,
                "sd": sd,
                "n": fit.n,
                "n_units": fit.n_units,
                "icc": fit.icc,
                "log_likelihood": fit.log_likelihood,
                "converged": str(fit.converged).lower(),
            }
        )


def numeric_columns(model: a.Model, outcome: str) -> tuple[str, ...]:
    """Return columns that must be numeric."""
    if isinstance(model, a.Comparison) and model.kind == "chi_squared":
        return ()
    return (outcome, *model.with_) if isinstance(model, a.Partial) else (outcome,)


def needed_columns(model: a.Model, outcome: str) -> tuple[str, ...]:
    """Return columns in which a row must have a value."""
    groups = getattr(model, "groups", None)
    names: list[str] = [outcome, *([groups.column] if groups else []), *model.where, *predicting(model)]
    if isinstance(model, a.Partial):
        names += model.covariates
    if isinstance(model, a.Mixed):
        names.append(model.unit)
    return tuple(dict.fromkeys(names))


def predicting(model: a.Model) -> tuple[str, ...]:
    """Return columns that predict the outcome, and so cannot be it."""
    match model:
        case a.Ancova():
            return model.covariates
        case a.Partial():
            return model.with_
        case a.Hierarchical():
            return tuple(name for block in model.blocks for name in block)
        case a.Mixed():
            return model.fixed
        case _:
            return ()

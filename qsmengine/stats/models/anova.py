"""Sums of squares of factors, covariates and their interactions, type II or III."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.stats.models.effects import Floats, Interval, partial_eta_squared


@dataclass(frozen=True)
class Effect:
    """One term: sum of squares, F, its degrees of freedom, p, partial eta squared."""

    term: str
    sum_of_squares: float
    df: int
    df_residual: int
    f: float
    p: float
    effect: Interval


def fit_anova(
    outcome: Floats,
    columns: pd.DataFrame,
    interactions: Sequence[tuple[str, str]] = (),
    *,
    sum_of_squares: Literal["II", "III"] = "II",
) -> tuple[Effect, ...]:
    """Test every column and interaction.

    Type II: a term against the model of all terms that do not contain it. Type III: a term against all
    others, with contrasts that sum to zero and centred covariates. Without interactions both are equal.

    Parameters
    ----------
    outcome
        (n,) finite values.
    columns
        (n, c): numbers are covariates, categories are factors.
    interactions
        Pairs of columns.

    Raises
    ------
    InputError
        For a constant outcome or one that the terms fit exactly, terms that depend on each other linearly (an
        empty cell), or too few participants.
    """
    from statsmodels.regression.linear_model import OLS

    design, terms = _terms(columns, interactions)
    n, p = design.shape
    if n < p + 2:
        raise InputError(f"{n} participants are too few for {p} terms: need at least {p + 2}")
    if int(np.linalg.matrix_rank(design)) < p:
        raise InputError("terms depend on each other linearly (an empty cell, or a group that is one site)")
    scale = float(outcome.std())
    if scale <= 1e-12 * float(np.abs(outcome).max()):
        raise InputError("the outcome is constant")
    y = (outcome - outcome.mean()) / scale
    full = OLS(y, design).fit()
    if full.ssr <= 1e-20 * n:
        raise InputError("the model fits the outcome exactly: no residual to test against")
    found = []
    for name, own in terms.items():
        inside = [i for other, cols in terms.items() if _contains(other, name) for i in cols]
        base = [i for i in range(p) if i not in inside] if sum_of_squares == "II" else None
        with_term = sorted([*base, *own]) if base is not None else list(range(p))
        without = base if base is not None else [i for i in range(p) if i not in own]
        squares = _ssr(OLS, y, design[:, without]) - _ssr(OLS, y, design[:, with_term])
        f = squares / len(own) / (full.ssr / full.df_resid)
        found.append(_effect(name, squares * scale**2, len(own), int(full.df_resid), f))
    return tuple(found)


def _effect(name: str, squares: float, df: int, df_residual: int, f: float) -> Effect:
    from scipy import special

    p = float(special.fdtrc(df, df_residual, f))
    return Effect(name, squares, df, df_residual, f, p, partial_eta_squared(f, df, df_residual))


def _ssr(ols: Any, y: Floats, x: Floats) -> float:
    return float(ols(y, x).fit().ssr)


def _contains(other: str, name: str) -> bool:
    return set(name.split(":")) <= set(other.split(":"))


def _terms(
    columns: pd.DataFrame, interactions: Sequence[tuple[str, str]]
) -> tuple[Floats, dict[str, list[int]]]:
    """Design with intercept and the columns of each term; names of the data are never evaluated."""
    blocks: dict[str, Floats] = {str(name): coded(str(name), values) for name, values in columns.items()}
    for first, second in interactions:
        absent = [name for name in (first, second) if name not in columns]
        if absent:
            raise InputError(f"interaction of {absent[0]!r}, which is not in the model")
        product = blocks[first][:, :, None] * blocks[second][:, None, :]
        blocks[f"{first}:{second}"] = product.reshape(len(columns), -1)
    design = [np.ones((len(columns), 1))]
    terms: dict[str, list[int]] = {}
    at = 1
    for name, block in blocks.items():
        terms[name] = list(range(at, at + block.shape[1]))
        design.append(block)
        at += block.shape[1]
    return np.hstack(design), terms


def coded(name: str, values: pd.Series) -> Floats:
    """Columns of one term: numbers standardised, categories as contrasts that sum to zero over the levels.

    Zero is the mean of a number and the unweighted mean of the levels.

    Raises
    ------
    InputError
        For a constant column.
    """
    if values.nunique() < 2:
        raise InputError(f"covariate {name!r} is constant")
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.remove_unused_categories().cat.codes.to_numpy()
        k = int(codes.max()) + 1
        contrasts = np.vstack([np.eye(k - 1), -np.ones(k - 1)])
        return np.asarray(contrasts[codes], dtype=np.float64)
    x = values.to_numpy(dtype=np.float64)
    centred: Floats = ((x - x.mean()) / x.std())[:, None]
    return centred

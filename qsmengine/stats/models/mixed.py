"""Linear mixed models for repeated sessions or several sites, by MixedLM of statsmodels (REML)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.stats.models.effects import Floats, Interval
from qsmengine.stats.models.terms import code_terms


@dataclass(frozen=True)
class FixedEffect:
    """One fixed effect: estimate with 95 % interval, standard error, z, two-sided p (normal)."""

    name: str
    b: Interval
    se: float
    z: float
    p: float


@dataclass(frozen=True)
class MixedFit:
    """A mixed model.

    Parameters
    ----------
    fixed
        Fixed effects, the intercept first.
    random_sd
        Standard deviation of each random effect, "intercept" first, in the unit of the outcome (per unit of the
        variable of the slope).
    residual_sd
        Standard deviation within a unit.
    icc
        Intraclass correlation, the share of the variance between units; NaN with random slopes.
    n, n_units
        Number of rows and units (participants, sites).
    converged
        Whether the optimiser converged to a covariance of the random effects inside its bounds.
    """

    fixed: tuple[FixedEffect, ...]
    random_sd: dict[str, float]
    residual_sd: float
    icc: float
    n: int
    n_units: int
    log_likelihood: float
    converged: bool


def fit_mixed(
    outcome: Floats, fixed: pd.DataFrame, units: pd.Series, *, slopes: Sequence[str] = ()
) -> MixedFit:
    """Fit outcome = fixed effects + random intercept (and slopes) of the unit + residual by REML.

    Parameters
    ----------
    outcome
        (n,) finite values.
    fixed
        (n, c), complete: numbers, and categories coded as indicators of all levels but the first.
    units
        (n,) participant or site of each row.
    slopes
        Numeric columns of `fixed` whose slope varies between units.

    Raises
    ------
    InputError
        For fewer than two units, no unit with two rows, a slope that is no fixed effect, or dependent columns.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    counts = units.value_counts()
    if len(counts) < 2 or counts.max() < 2:
        seen = f"{len(counts)} units with at most {counts.max()} rows"
        raise InputError(f"{seen}; need at least two units and one with two rows")
    coded = code_terms(fixed)
    absent = [name for name in slopes if name not in coded.names]
    if absent:
        raise InputError(f"random slope {absent[0]!r} is not a numeric fixed effect")
    design = coded.matrix
    if not coded.full_rank:
        raise InputError("fixed effects are linearly dependent")
    spread = float(outcome.std(ddof=1))
    if spread == 0:
        raise InputError("the outcome is constant")
    names = ["intercept", *coded.names]
    random = design[:, [0, *(names.index(name) for name in slopes)]]
    model = MixedLM((outcome - outcome.mean()) / spread, design, units.to_numpy(), exog_re=random)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        fit = model.fit(reml=True)
    variances = np.atleast_1d(np.diag(np.atleast_2d(np.asarray(fit.cov_re))))
    random_sd = {
        name: math.sqrt(max(0.0, v)) * spread for name, v in zip(("intercept", *slopes), variances, strict=True)
    }
    residual = math.sqrt(float(fit.scale)) * spread
    between = random_sd["intercept"] ** 2
    return MixedFit(
        fixed=_fixed(fit, names, spread, float(outcome.mean())),
        random_sd=random_sd,
        residual_sd=residual,
        icc=math.nan if slopes else between / (between + residual**2),
        n=len(outcome),
        n_units=len(counts),
        log_likelihood=float(fit.llf) - (len(outcome) - design.shape[1]) * math.log(spread),
        converged=bool(fit.converged) and not any(issubclass(w.category, ConvergenceWarning) for w in caught),
    )


def _fixed(fit: Any, names: list[str], spread: float, mean: float) -> tuple[FixedEffect, ...]:
    bounds = np.asarray(fit.conf_int())
    values, errors = np.asarray(fit.fe_params), np.asarray(fit.bse_fe)
    found = []
    for i, name in enumerate(names):
        offset = mean if i == 0 else 0.0
        low, high = (float(v) * spread + offset for v in bounds[i])
        b, se = float(values[i]) * spread + offset, float(errors[i]) * spread
        z = b / se
        found.append(FixedEffect(name, Interval(b, low, high), se, z, math.erfc(abs(z) / math.sqrt(2))))
    return tuple(found)

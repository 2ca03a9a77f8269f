r"""Regression structure of each group: standardised volumes as linear combinations of predictors.

::

    z_volume = sum_k beta_k z_k + sqrt(1 - beta' R beta) e,     R: correlations of the predictors

The betas are those printed for the model of the group. A predictor that is printed for all MS but not for a
subgroup gets half of the beta for which the weighted mean of both subgroups equals the pooled beta: it must
contribute to the pooled model without being significant in the subgroup. If the betas explain less than the
printed R2 (adjusted for the number of predictors), age explains the rest; if they explain more, R2 is larger.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from qsmengine.stats.models.effects import Floats
from qsmengine.studies.pontillo2019.published import METRICS, SIZES_DTI, STRUCTURES, regressions

CLINICAL = ("age", "sex", "disease_duration", "dmt", "log_ll")
LOCAL = tuple(f"{metric}_{structure}" for structure in STRUCTURES for metric in METRICS)
PREDICTORS = (*CLINICAL, *LOCAL)
AGE_IN_CONTROLS = -0.4
"""Standardised slope of volume over age in controls; assumed, as the paper prints none."""

SUBGROUPS = ("RRMS", "PMS")
_LEAST_RESIDUAL = 0.1
_NAMES = {"DMT": "dmt", "LL": "log_ll"}
_CORRELATIONS = {("age", "disease_duration"): 0.5, ("disease_duration", "log_ll"): 0.2}
"""Assumed, as are those of `_correlation`; delta R2 of the printed diffusion blocks requires about 0.5."""


def betas(group: str, structure: str) -> Floats:
    """Return the standardised betas of `PREDICTORS` in a group for the volume of a structure."""
    if group == "HC":
        return np.array([AGE_IN_CONTROLS if name == "age" else 0.0 for name in PREDICTORS])
    printed = {g: _printed(g, structure) for g in ("MS", *SUBGROUPS)}
    own = dict(printed[group])
    other = SUBGROUPS[1 - SUBGROUPS.index(group)]
    weights = {g: SIZES_DTI[g] / sum(SIZES_DTI[s] for s in SUBGROUPS) for g in SUBGROUPS}
    for name, pooled in printed["MS"].items():
        if name not in own:
            needed = (pooled - weights[other] * printed[other].get(name, pooled)) / weights[group]
            own[name] = 0.5 * needed
    vector = np.array([own.get(name, 0.0) for name in PREDICTORS])
    return _with_age(vector, group, structure)


def residual_sd(group: str, structure: str) -> float:
    """Return the residual standard deviation of a standardised volume."""
    vector = betas(group, structure)
    return float(np.sqrt(1.0 - vector @ correlations() @ vector))


@cache
def correlations() -> Floats:
    """Return the correlations of `PREDICTORS`, which are equal in all groups."""
    matrix = np.array([[_correlation(a, b) for b in PREDICTORS] for a in PREDICTORS])
    matrix.setflags(write=False)
    return matrix


def _correlation(a: str, b: str) -> float:
    if a == b:
        return 1.0
    if a in CLINICAL and b in CLINICAL:
        return _CORRELATIONS.get((a, b), _CORRELATIONS.get((b, a), 0.0))
    if a in CLINICAL or b in CLINICAL:
        clinical, local = (a, b) if a in CLINICAL else (b, a)
        return 0.4 if clinical == "log_ll" and local.startswith("MD_") else 0.0
    (metric_a, structure_a), (metric_b, structure_b) = a.split("_"), b.split("_")
    if metric_a == metric_b:
        return 0.4
    if {metric_a, metric_b} == {"MD", "FA"} and structure_a == structure_b:
        return -0.2
    return 0.0


def _printed(group: str, structure: str) -> dict[str, float]:
    found = [r for r in regressions() if (r.group, r.structure) == (group, structure)]
    return {_NAMES.get(r.predictor, r.predictor): r.beta for r in found}


def _with_age(vector: Floats, group: str, structure: str) -> Floats:
    """Raise the beta of age to reach the adjusted R2; scale all down if less than a tenth would be left."""
    explained = float(vector @ correlations() @ vector)
    if explained > 1.0 - _LEAST_RESIDUAL:
        return np.asarray(vector * np.sqrt((1.0 - _LEAST_RESIDUAL) / explained))
    r2 = [r.r2 for r in regressions() if (r.group, r.structure) == (group, structure)]
    if not r2:
        return vector
    n = SIZES_DTI[group]
    k = len(CLINICAL) + sum(1 for name, b in zip(PREDICTORS, vector, strict=True) if b and name in LOCAL)
    target = min(1.0 - (1.0 - r2[0]) * (n - 1) / (n - k - 1), 1.0 - _LEAST_RESIDUAL)
    if target > explained:
        # Age is correlated with disease duration only, whose beta is 0, so its share is beta_age^2.
        vector[PREDICTORS.index("age")] = -np.sqrt(target - explained)
    return vector

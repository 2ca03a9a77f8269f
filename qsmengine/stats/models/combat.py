r"""ComBat: removal of site effects on location and scale by empirical Bayes.

Model of feature v, site i, participant j (Johnson, Li and Rabinovic 2007, doi:10.1093/biostatistics/kxj037;
for imaging Fortin et al. 2018, doi:10.1016/j.neuroimage.2017.11.024)::

    y_ijv = alpha_v + x_ij' beta_v + gamma_iv + delta_iv e_ijv
    adjusted = (y - alpha - x' beta - gamma*) / delta* + alpha + x' beta

gamma* and delta* are shrunk over the features, gamma with a normal and delta^2 with an inverse gamma prior. The
parameters of the priors are moments over the features of the site.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.stats.models.effects import Floats
from qsmengine.stats.models.terms import code_terms


@dataclass(frozen=True)
class Harmonised:
    """Harmonised values (n, features), and shift and scale removed per site (sites, features)."""

    adjusted: Floats
    sites: tuple[str, ...]
    shift: Floats
    scale: Floats


def combat(
    values: Floats,
    sites: pd.Series,
    preserve: pd.DataFrame,
    *,
    empirical_bayes: bool = True,
    tolerance: float = 1e-8,
) -> Harmonised:
    """Harmonise features over sites.

    Parameters
    ----------
    values
        (n, features), finite; units may differ between features.
    sites
        (n,) site of each row.
    preserve
        (n, c) columns whose effects are preserved (group, age, sex); c may be 0.
    empirical_bayes
        Shrink the estimates over the features, of which there must be two; otherwise use them unchanged.
    tolerance
        Relative change at which the iteration of the posterior stops.

    Raises
    ------
    InputError
        For fewer than two sites, a site with one participant, a site that is determined by a column, a constant
        feature, or one feature with empirical Bayes.
    """
    labels = sites.astype(str).to_numpy()
    names, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise InputError("there is only one site, nothing to harmonise")
    if counts.min() < 2:
        raise InputError(f"site {names[counts.argmin()]} has one participant, two are needed")
    if empirical_bayes and values.shape[1] < 2:
        raise InputError("empirical Bayes needs two features: add features or set empirical_bayes to false")
    kept = code_terms(preserve).predictors
    kept = kept - kept.mean(axis=0)
    indicators = np.eye(len(names))[index]
    design = np.column_stack([indicators, kept])
    if len(values) < design.shape[1] + 2 or int(np.linalg.matrix_rank(design)) < design.shape[1]:
        raise InputError("sites and preserved columns are linearly dependent, or too few participants")
    coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
    alpha = counts @ coefficients[: len(names)] / len(values)
    mean = alpha + kept @ coefficients[len(names) :]
    sigma = np.sqrt(((values - design @ coefficients) ** 2).mean(axis=0))
    if (sigma <= 1e-12 * np.abs(values).max(axis=0)).any():
        raise InputError("a feature is constant or determined by site and preserved columns")
    z = (values - mean) / sigma
    shift, scale = _site_effects(z, index, len(names), empirical_bayes=empirical_bayes, tolerance=tolerance)
    adjusted = (z - shift[index]) / scale[index] * sigma + mean
    return Harmonised(adjusted, tuple(str(name) for name in names), shift * sigma, scale)


def _site_effects(
    z: Floats, index: np.ndarray, n_sites: int, *, empirical_bayes: bool, tolerance: float
) -> tuple[Floats, Floats]:
    """Return location and scale of each site in standardised units."""
    shift, scale = np.empty((n_sites, z.shape[1])), np.empty((n_sites, z.shape[1]))
    for site in range(n_sites):
        own = z[index == site]
        gamma, delta2 = own.mean(axis=0), own.var(axis=0, ddof=1)
        if (delta2 == 0).any():
            raise InputError("a feature is constant at one site")
        if empirical_bayes:
            gamma, delta2 = _posterior(own, gamma, delta2, tolerance)
        shift[site], scale[site] = gamma, np.sqrt(delta2)
    return shift, scale


def _posterior(own: Floats, gamma: Floats, delta2: Floats, tolerance: float) -> tuple[Floats, Floats]:
    """Alternate between the conditional posterior means of both until neither changes."""
    n = len(own)
    prior, tau2 = gamma.mean(), gamma.var(ddof=1)
    m, s2 = delta2.mean(), delta2.var(ddof=1)
    if s2 <= 1e-12 * m * m:
        raise InputError("all features have the same variance at one site, so there is no prior")
    shape, rate = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2
    new_gamma, new_delta2 = gamma, delta2
    for _ in range(1000):
        last = new_gamma, new_delta2
        new_gamma = (n * tau2 * gamma + last[1] * prior) / (n * tau2 + last[1])
        new_delta2 = (rate + 0.5 * ((own - new_gamma) ** 2).sum(axis=0)) / (n / 2 + shape - 1)
        changes = (np.abs(new_gamma - last[0]).max(), np.abs(new_delta2 / last[1] - 1).max())
        if max(changes) < tolerance:
            return new_gamma, new_delta2
    raise InputError("the posterior of the site effects did not converge")

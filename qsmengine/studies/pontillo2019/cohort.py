"""Virtual cohort of regional values with the published means, standard deviations and regressions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from qsmengine.stats.models.effects import Floats
from qsmengine.studies.pontillo2019.published import (
    EDSS_VOLUME,
    METRICS,
    SIZES,
    SIZES_DTI,
    STRUCTURES,
    rows,
    summary,
)
from qsmengine.studies.pontillo2019.structure import PREDICTORS, betas, correlations, residual_sd

GROUPS = ("HC", "RRMS", "PMS")
UNITS = {
    "age": "years",
    "disease_duration": "years",
    "lesion_load": "mL",
    **dict.fromkeys(("NBV", "NGMV", "NWMV", *(f"volume_{s}" for s in STRUCTURES)), "mL"),
    **{f"MD_{s}": "1e-3 mm2/s" for s in STRUCTURES},
    **{f"FA_{s}": "1" for s in STRUCTURES},
    **{f"chi_{s}": "ppb" for s in STRUCTURES},
    **{f"rCBV_{s}": "mL/100mL" for s in STRUCTURES},
}
_SHARED = 0.5
"""Assumed correlation of the volumes of two structures given their predictors."""

_EDSS_AGE, _EDSS_DURATION = 0.3, 0.2
"""Assumed standardised effects on EDSS within a group; that of the thalamic volume is printed."""


def draw_cohort(seed: int) -> pd.DataFrame:
    """Draw the 118 participants, one row each, with NaN for missing modalities.

    Columns: participant_id, group (HC, RRMS, PMS), cohort (HC, MS), sex, age, disease_duration, edss, dmt (0
    none, 1 first line, 2 second line), treated, lesion_load, NBV, NGMV, NWMV, and volume, MD, FA, chi and rCBV
    of each structure, in the units of `UNITS`.
    """
    rng = np.random.default_rng(seed)
    table = pd.concat([_draw_group(group, rng) for group in GROUPS], ignore_index=True)
    table.insert(0, "participant_id", [f"sub-{i + 1:03d}" for i in range(len(table))])
    table.insert(2, "cohort", np.where(table["group"] == "HC", "HC", "MS"))
    return table


def _draw_group(group: str, rng: np.random.Generator) -> pd.DataFrame:
    n = SIZES[group]
    z = pd.DataFrame(rng.multivariate_normal(np.zeros(len(PREDICTORS)), correlations(), n), columns=PREDICTORS)
    facts = {row["variable"]: row[group] for row in rows("table1")}
    columns: dict[str, Any] = {"group": [group] * n}
    # The regression uses standardised values; codes are standardised by their expected mean and SD.
    women = int(facts["female"]) / n
    female = z["sex"] < stats.norm.ppf(women)
    columns["sex"] = np.where(female, "F", "M")
    columns["age"] = np.clip(float(facts["age_mean"]) + float(facts["age_sd"]) * z["age"], 18.0, 80.0)
    if group != "HC":
        mu, sd = log_moments(float(facts["disease_duration_mean"]), float(facts["disease_duration_sd"]))
        columns["disease_duration"] = np.exp(mu + sd * z["disease_duration"])
        columns["dmt"], z["dmt"] = _treatment(z["dmt"].to_numpy(), int(facts["dmt_treated"]) / n)
        columns["treated"] = np.where(columns["dmt"] > 0, "yes", "no")
    moments = _moments(group)
    if "lesion_load" in moments:
        mu, sd = log_moments(*moments["lesion_load"])
        columns["lesion_load"] = np.exp(mu + sd * z["log_ll"])
    volumes = _volumes(group, z, rng)
    for structure in STRUCTURES:
        mean, sd = moments[f"volume_{structure}"]
        columns[f"volume_{structure}"] = mean + sd * volumes[structure]
    for name in (f"{metric}_{structure}" for metric in METRICS for structure in STRUCTURES):
        mean, sd = moments[name]
        columns[name] = mean + sd * z[name]
    _brain(moments, volumes, columns, rng)
    if group != "HC":
        columns["edss"] = _edss(facts, volumes["thalamus"], z, rng)
    table = pd.DataFrame(columns)
    without = rng.permutation(n)[: n - SIZES_DTI[group]]
    table.loc[without, [f"{m}_{s}" for m in ("MD", "FA") for s in STRUCTURES]] = np.nan
    return table


def log_moments(mean: float, sd: float) -> tuple[float, float]:
    """Return mean and SD of the logarithm of a log-normal variable with this mean and SD."""
    variance = math.log1p((sd / mean) ** 2)
    return math.log(mean) - variance / 2.0, math.sqrt(variance)


def _moments(group: str) -> dict[str, tuple[float, float]]:
    """Return mean and SD of every metric: printed values, otherwise assumed ones."""
    found = {row["metric"]: (float(row["mean"]), float(row["sd"])) for row in rows("assumed")}
    for row in rows("table2"):
        printed = summary(row, group)
        if printed is not None:
            found[row["metric"]] = (printed.mean, printed.sd)
    return found


def _treatment(z: Floats, treated: float) -> tuple[Floats, Floats]:
    """Return codes 0 (untreated), 1 and 2 (half of the treated each), and their standardised values."""
    bounds = stats.norm.ppf([1.0 - treated, 1.0 - treated / 2.0])
    codes = np.searchsorted(bounds, z).astype(np.float64)
    mean = 1.5 * treated
    return codes, (codes - mean) / math.sqrt(2.5 * treated - mean * mean)


def _volumes(group: str, z: pd.DataFrame, rng: np.random.Generator) -> dict[str, Floats]:
    shared = rng.standard_normal(len(z))
    found = {}
    for structure in STRUCTURES:
        own = math.sqrt(_SHARED) * shared + math.sqrt(1.0 - _SHARED) * rng.standard_normal(len(z))
        explained = z[list(PREDICTORS)].to_numpy() @ betas(group, structure)
        found[structure] = explained + residual_sd(group, structure) * own
    return found


def _brain(
    moments: dict[str, tuple[float, float]],
    volumes: dict[str, Floats],
    columns: dict[str, Any],
    rng: np.random.Generator,
) -> None:
    """Draw grey and white matter; their correlation follows from the SD of their sum, NBV."""
    whole, grey, white = (moments[name][1] for name in ("NBV", "NGMV", "NWMV"))
    r = (whole**2 - grey**2 - white**2) / (2.0 * grey * white)
    deep = np.mean(list(volumes.values()), axis=0)
    deep /= deep.std()
    first = 0.5 * deep + math.sqrt(0.75) * rng.standard_normal(len(deep))
    second = r * first + math.sqrt(1.0 - r * r) * rng.standard_normal(len(deep))
    columns["NGMV"] = moments["NGMV"][0] + grey * first
    columns["NWMV"] = moments["NWMV"][0] + white * second
    columns["NBV"] = columns["NGMV"] + columns["NWMV"]


def _edss(facts: dict[str, str], volume: Floats, z: pd.DataFrame, rng: np.random.Generator) -> Floats:
    """Return scores in steps of 0.5: a latent score mapped to the printed minimum, median and maximum."""
    explained = EDSS_VOLUME * volume + _EDSS_AGE * z["age"] + _EDSS_DURATION * z["disease_duration"]
    rest = 1.0 - EDSS_VOLUME**2 - _EDSS_AGE**2 - _EDSS_DURATION**2
    latent = explained + math.sqrt(rest) * rng.standard_normal(len(volume))
    points = [float(facts[f"edss_{name}"]) for name in ("min", "median", "max")]
    scores = np.interp(stats.norm.cdf(latent), [0.0, 0.5, 1.0], points)
    return np.asarray(np.round(scores * 2.0) / 2.0, dtype=np.float64)

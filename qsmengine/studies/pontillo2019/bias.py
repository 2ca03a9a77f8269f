"""Comparison of what was measured in a virtual cohort with its truth, metric by metric."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from qsmengine.stats.models.effects import Floats
from qsmengine.stats.tables import Dictionary
from qsmengine.studies.pontillo2019.cohort import UNITS
from qsmengine.studies.pontillo2019.published import STRUCTURES
from qsmengine.studies.pontillo2019.raw_perfusion import UNITS as PERFUSION_UNITS

MEASURED = tuple(f"{metric}_{s}" for metric in ("volume", "chi", "MD", "FA", "rCBV") for s in STRUCTURES)
FLOW = tuple(f"rCBF_{s}" for s in STRUCTURES)
"""Blood flow, which the paper mentions and does not print; compared with its truth only."""
ALL_UNITS = UNITS | dict.fromkeys(FLOW, PERFUSION_UNITS["rCBF"])
BIAS: Dictionary = {
    "metric": {"Description": "Regional metric"},
    "unit": {"Description": "Its unit"},
    "n": {"Description": "Participants", "Units": "count"},
    "truth": {"Description": "Mean of the truth, in the unit of the row"},
    "measured": {"Description": "Mean of the reconstruction"},
    "bias": {"Description": "Mean of measured - truth"},
    "sd": {"Description": "Standard deviation of measured - truth"},
    "r": {"Description": "Pearson's correlation of measured and truth", "Units": "1"},
    "difference_truth": {"Description": "Mean of MS minus mean of controls, truth"},
    "difference_measured": {"Description": "Mean of MS minus mean of controls, reconstruction"},
}


def bias_table(
    truth: pd.DataFrame, measured: pd.DataFrame, metrics: Sequence[str] = (*MEASURED, *FLOW)
) -> pd.DataFrame:
    """Return bias and group differences of every metric that was measured, with the columns of `BIAS`."""
    patients = (truth["cohort"] == "MS").to_numpy()
    rows = []
    for name in metrics:
        a, b = (table[name].to_numpy(np.float64) for table in (truth, measured))
        there = np.isfinite(a) & np.isfinite(b)
        if not there.any():
            continue
        error = (b - a)[there]
        varies = there.sum() > 2 and np.ptp(a[there]) > 0 and np.ptp(b[there]) > 0
        means = [_difference(v, there & patients, there & ~patients) for v in (a, b)]
        rows.append(
            {
                "metric": name,
                "unit": ALL_UNITS[name],
                "n": int(there.sum()),
                "truth": a[there].mean(),
                "measured": b[there].mean(),
                "bias": error.mean(),
                "sd": error.std(ddof=1) if len(error) > 1 else math.nan,
                "r": float(np.corrcoef(a[there], b[there])[0, 1]) if varies else math.nan,
                "difference_truth": means[0],
                "difference_measured": means[1],
            }
        )
    return pd.DataFrame(rows, columns=list(BIAS))


def _difference(values: Floats, first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Return the difference of the means of two groups; NaN if one is empty."""
    if not first.any() or not second.any():
        return math.nan
    return float(values[first].mean() - values[second].mean())


def described(table: pd.DataFrame, metrics: Sequence[str] = (*MEASURED, *FLOW)) -> Dictionary:
    """Return the data dictionary of a cohort whose `metrics` were measured."""
    return {
        str(name): {"Description": f"{name}, as reconstructed" if name in metrics else f"{name}, as drawn"}
        | ({"Units": ALL_UNITS[str(name)]} if name in ALL_UNITS else {})
        for name in table.columns
    }

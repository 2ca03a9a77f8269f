"""Corrections of p values for multiple comparisons."""

from __future__ import annotations

from typing import Literal, TypeAlias

import pandas as pd

Correction: TypeAlias = Literal["bonferroni", "holm", "fdr_bh", "none"]


def correct(p: pd.Series[float], method: Correction) -> pd.Series[float]:
    """Return p values corrected over those that are not NaN."""
    from statsmodels.stats.multitest import multipletests

    corrected = p.astype("float64").copy()
    there = corrected.notna()
    if method != "none" and there.any():
        corrected[there] = multipletests(corrected[there].to_numpy(), method=method)[1]
    return corrected

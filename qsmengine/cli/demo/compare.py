"""Measures of agreement between two images inside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]


def nrmse(estimate: Image, truth: Image, mask: Image, *, demean: bool = True) -> float:
    """Return the normalised root-mean-square error [%]; means are removed by default."""
    e, t = (image[mask].astype(np.float64) for image in (estimate, truth))
    if demean:
        e, t = e - e.mean(), t - t.mean()
    return float(100.0 * np.linalg.norm(e - t) / np.linalg.norm(t))


def correlation(a: Image, b: Image, mask: Image) -> float:
    """Return Pearson's correlation coefficient."""
    return float(np.corrcoef(a[mask].astype(np.float64), b[mask].astype(np.float64))[0, 1])


def median_difference(estimate: Image, truth: Image, mask: Image) -> float:
    """Return the median absolute difference, in the images' unit."""
    return float(np.median(np.abs(estimate[mask].astype(np.float64) - truth[mask].astype(np.float64))))

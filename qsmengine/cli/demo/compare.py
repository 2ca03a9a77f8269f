"""Measures of agreement between two images inside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.stages.metrics import nrmse

Image = npt.NDArray[Any]


def relative_error(estimate: Image, truth: Image, mask: Image, *, demean: bool = True) -> float:
    """Return the root-mean-square error relative to that of the truth [%]; means are removed by default."""
    if demean:
        return nrmse(estimate, truth, mask)
    e, t = (image[mask].astype(np.float64) for image in (estimate, truth))
    return float(100.0 * np.linalg.norm(e - t) / np.linalg.norm(t))


def median_difference(estimate: Image, truth: Image, mask: Image) -> float:
    """Return the median absolute difference, in the images' unit."""
    return float(np.median(np.abs(estimate[mask].astype(np.float64) - truth[mask].astype(np.float64))))

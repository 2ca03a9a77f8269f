"""The median of chi^2, by which residuals become noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from qsmengine.stages.noise import chi_square_median, noise_of_residuals


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 10, 64, 300, 1000])
def test_the_median_of_chi_square_is_that_of_scipy(freedom):
    assert chi_square_median(freedom) == pytest.approx(chi2.median(freedom), rel=1e-12)


def test_noise_is_found_from_residuals_with_outliers(rng):
    residual = 0.3**2 * rng.chisquare(3, 20001)
    residual[:200] = 1e3
    assert noise_of_residuals(residual.astype(np.float32), 3) == pytest.approx(0.3, rel=0.03)

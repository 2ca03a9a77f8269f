"""Errors of relaxometry on drawn heads."""

from __future__ import annotations

import numpy as np
import pytest

from bench.vfa_heads import REGIONS, Case, relaxometry_of
from qsmengine.backend.device import Device


def test_errors_of_a_head_are_small_with_the_true_b1_and_large_without():
    row, means = relaxometry_of(Case(5, 5.0, 200.0, Device("cpu", threads=1)))
    assert abs(row["r1"]) < 2
    assert abs(row["r1 nominal"]) > 10
    assert row["b1 nominal"] > 0.03
    assert set(means) == {"r1", "r2star", "pd", "r2"}
    assert all(set(regions) == set(REGIONS) for regions in means.values())
    measured, true = means["r1"]["white matter"]
    assert measured == pytest.approx(true, rel=0.02)
    assert np.isnan(means["r1"]["pallidum"]).all()

"""A cohort in virtual time: known makespans, losses that cost nothing but time, a leader that limits."""

from __future__ import annotations

import pytest

from bench.cohort.simulation import Site, simulate


def test_equal_sessions_take_as_long_as_their_share_of_a_gpu(tmp_path):
    row = simulate(tmp_path, Site(sessions=100, gpus=10, host=50.0, device=10.0, spread=0.0))
    assert 3600 * row["hours"] == pytest.approx(10 * 60, rel=0.02)
    assert row["gpu_use"] > 0.97
    assert (row["losses"], row["retries"]) == (0, 0)


def test_lost_gpus_repeat_their_sessions(tmp_path):
    site = Site(sessions=200, gpus=8, host=300.0, device=60.0, between_losses=2.0, seed=3)
    row = simulate(tmp_path, site)
    assert row["losses"] == row["retries"] > 0
    assert row["hours"] > 200 * 360 / 8 / 3600


def test_a_slow_leader_limits_the_sessions_an_hour(tmp_path):
    row = simulate(tmp_path, Site(sessions=200, gpus=50, host=1.0, device=0.0, leader=0.1))
    assert row["sessions_per_hour"] == pytest.approx(36000, rel=0.1)
    assert row["leader_use"] > 0.9
    assert row["gpu_use"] < 0.3

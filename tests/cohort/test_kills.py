"""Real processes, killed at random moments."""

from __future__ import annotations

import pytest

from bench.cohort.kills import FAST, derivatives, kill_leader, kill_workers, start_run
from tests.cohort.small import write_cohort

SESSIONS = 6
KILLS = 5


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("kills") / "bids", SESSIONS, dwi=True)


@pytest.fixture(scope="module")
def whole(bids):
    out = bids.with_name("whole")
    assert start_run(bids, out, [*FAST, "--workers", "1"]).wait() == 0
    assert len(derivatives(out)) > SESSIONS * 10
    return out


@pytest.mark.slow
def test_derivatives_are_the_same_after_the_leading_process_was_killed(bids, whole, tmp_path):
    found = kill_leader(bids, tmp_path / "out", whole, KILLS, 1, [*FAST, "--workers", "1"])
    assert found.kills == KILLS
    assert (found.differing, found.again, found.left) == ([], [], [])


@pytest.mark.slow
def test_derivatives_are_the_same_after_workers_were_killed(bids, whole, tmp_path):
    found = kill_workers(bids, tmp_path / "out", whole, KILLS, 2, [*FAST, "--workers", "2"])
    assert found.kills == KILLS
    assert (found.differing, found.again, found.left) == ([], [], [])


@pytest.mark.slow
def test_a_run_in_one_process_survives_kills_too(bids, whole, tmp_path):
    found = kill_leader(bids, tmp_path / "out", whole, KILLS, 3, [*FAST, "--workers", "0"])
    assert found.kills == KILLS
    assert (found.differing, found.again, found.left) == ([], [], [])

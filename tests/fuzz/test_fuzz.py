"""Every reader ends cleanly on damaged files: a finite result or a readable refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsmengine.errors import InputError
from tests.fuzz.checking import UncleanEndError, check
from tests.fuzz.choices import Choices
from tests.fuzz.long_run import LONGEST_INPUT
from tests.fuzz.targets import TARGETS

EXAMPLES = Path(__file__).parent / "examples"
CASES = {"yaml": 12, "tables": 12, "dicom": 25, "enhanced": 25}
"""Cases of targets that take long; 40 of the others."""
KEPT = sorted(place for place in EXAMPLES.glob("*/*") if place.is_dir())


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_end_cleanly(name):
    @settings(
        max_examples=CASES.get(name, 40),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=20, max_size=LONGEST_INPUT))
    def run(data):
        TARGETS[name].run(data)

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_undamaged_files_are_accepted(name, tmp_path):
    TARGETS[name].make(Choices(b""), tmp_path)
    assert check(TARGETS[name].read, tmp_path)


@pytest.mark.parametrize("place", KEPT, ids=lambda place: f"{place.parent.name}-{place.name}")
def test_files_that_once_ended_unclean_end_cleanly(place):
    check(TARGETS[place.parent.name].read, place)


def _refuse(folder):
    raise InputError("no")


def _hang(folder):
    while True:
        pass


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda folder: dict[str, int]()["absent"], "KeyError"),
        (lambda folder: [1.0, float("nan")], "nan in what was returned"),
        (lambda folder: "\ud800", "cannot be printed"),
        (_hang, "processor time"),
    ],
)
def test_unclean_ends_are_reported(read, expected, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fuzz.checking.CPU_SECONDS", 0.2)
    with pytest.raises(UncleanEndError, match=expected):
        check(read, tmp_path)


def test_refusals_are_clean_ends(tmp_path):
    assert not check(_refuse, tmp_path)

"""Time left in a step follows the share of its iterations that is done."""

from __future__ import annotations

import io
import sys

import numpy as np

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.display.time_left import TimeLeft
from qsmengine.pipeline.run.progress import Progress


def test_the_rest_takes_as_long_as_the_speed_so_far_says():
    left = TimeLeft()
    texts = [
        left.text(Progress("inversion", 3, 9, done), 100.0 + 40.0 * done) for done in np.arange(0, 1, 0.25)
    ]
    assert texts == [
        "",
        "about 30 s left in this step",
        "about 20 s left in this step",
        "about 10 s left in this step",
    ]


def test_long_times_have_minutes_and_the_first_moments_no_estimate():
    left = TimeLeft()
    assert left.text(Progress("inversion", 1, 2, 0.0), 0.0) == ""
    assert left.text(Progress("inversion", 1, 2, 0.01), 8.0) == ""
    assert left.text(Progress("inversion", 1, 2, 0.1), 10.0) == "about 1 min 30 s left in this step"
    assert TimeLeft().text(Progress("inversion", 1, 2, 0.5), 1.0) == ""


def test_every_step_and_repeated_pass_starts_anew():
    left = TimeLeft()
    left.text(Progress("unwrap", 1, 3, 0.0), 0.0)
    assert left.text(Progress("unwrap", 1, 3, 0.5), 10.0) == "about 10 s left in this step"
    assert left.text(Progress("unwrap", 1, 3, 1.0, seconds=20.0), 20.0) == ""
    assert left.text(Progress("inversion", 2, 3, 0.0), 21.0) == ""
    assert left.text(Progress("inversion", 2, 3, 0.5), 26.0) == "about 5 s left in this step"
    assert left.text(Progress("inversion", 2, 3, 0.1), 27.0) == ""


def test_a_terminal_shows_the_time_left(monkeypatch):
    terminal, clock = io.StringIO(), iter(np.arange(0.0, 100.0, 5.0))
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("qsmengine.cli.display.reporter.monotonic", lambda: next(clock))
    with Reporter().progress() as reporter:
        for done in (0.0, 0.25, 0.5):
            reporter.on_step(Progress("inversion", 1, 1, done))
    assert "about 10 s left in this step" in terminal.getvalue()

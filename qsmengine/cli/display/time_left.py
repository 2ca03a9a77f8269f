"""Time left in the step that runs, from the share of it that is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qsmengine.pipeline.run.progress import Progress

LEAST_SECONDS, LEAST_SHARE = 2.0, 0.02
"""Time [s] and share of a step from which its speed is known well enough."""


class TimeLeft:
    """Time left in a step: that of the rest at the speed so far.

    Solvers count iterations up to their limit; one that converges earlier ends sooner.
    """

    def __init__(self) -> None:
        self._step, self._start, self._share, self._last = 0, 0.0, 0.0, 0.0

    def text(self, now: Progress, clock: float) -> str:
        """Return "about 40 s left in this step" at a time of the `clock` [s]; "" while it is not known."""
        if now.index != self._step or now.fraction < self._last:
            self._step, self._start, self._share = now.index, clock, now.fraction
        self._last = now.fraction
        passed, done = clock - self._start, now.fraction - self._share
        if now.seconds is not None or passed < LEAST_SECONDS or done < LEAST_SHARE:
            return ""
        return f"about {_duration(passed * (1.0 - now.fraction) / done)} left in this step"


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"

"""A cohort on many GPUs in virtual time: the real loop of the leading process, sessions that only take time.

The workers are an event queue. The clock advances with them, and by the real time that the leading process uses
between two of its calls, so a leader that is too slow delays the sessions as it would on a cluster. What a
session takes, and what the scheduler adds to it, are measured elsewhere and given here.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qsmengine.cohort.ledger.events import Event
from qsmengine.cohort.plan.model import CohortPlan, Session, SessionRecord, Step, StepRecord
from qsmengine.cohort.pools.base import Finished
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.cohort.work.exchange import Options, SessionOutcome
from qsmengine.pipeline.configuration.config import load_config

RESTART = 20.0
"""Time from the loss of a GPU to the worker that replaces it [s]."""
HOUR = 3600.0


@dataclass(frozen=True)
class Site:
    """A cluster and its sessions.

    Parameters
    ----------
    sessions, gpus
        Numbers.
    host, device
        Seconds of a session on the host (reading, checksums, writing) and on the GPU.
    spread
        Relative standard deviation of a session's seconds.
    leader
        Seconds that the scheduler uses for a session in the leading process.
    between_losses
        Hours between two losses of one GPU.
    seed
        Of the durations and losses.
    """

    sessions: int
    gpus: int
    host: float
    device: float
    spread: float = 0.2
    leader: float = 0.0
    between_losses: float = 1000.0
    seed: int = 0


@dataclass(order=True)
class _Ending:
    time: float
    number: int
    gpu: int = field(compare=False)
    finished: Finished = field(compare=False)


class VirtualPool:
    """Workers of a :class:`Site`, one per GPU."""

    def __init__(self, site: Site) -> None:
        self._site, self._random = site, random.Random(site.seed)  # noqa: S311
        self._numbers = itertools.count()
        self._running: list[_Ending] = []
        self._free = list(range(site.gpus))
        self._absent: list[tuple[float, int]] = []
        self._real = time.perf_counter()
        self.now = self.busy = self.led = 0.0
        self.losses = 0

    @property
    def slots(self) -> int:
        """Workers that are present."""
        self._spend(0.0)
        return self._site.gpus - len(self._absent)

    def submit(self, session: Session, options: Options, ahead: Session | None) -> None:  # noqa: ARG002
        """Start a session on a free GPU."""
        self._spend(self._site.leader)
        seconds = self._seconds()
        lost = self._random.expovariate(1 / (HOUR * self._site.between_losses))
        done = SessionRecord(session=session.key, steps={"qsm": StepRecord(state="done")})
        outcome = SessionOutcome(session=session.key, record=done, ran=("qsm",), seconds=seconds)
        finished = Finished(session, lost=True) if lost < seconds else Finished(session, outcome)
        gpu, used = self._free.pop(), min(lost, seconds)
        self.busy += used
        heapq.heappush(self._running, _Ending(self.now + used, next(self._numbers), gpu, finished))

    def wait(self, seconds: float) -> list[Finished]:
        """Advance the clock to the next ending, at most by `seconds`."""
        self._spend(0.0)
        moments = [ending.time for ending in self._running[:1]] + [when for when, _ in self._absent]
        self.now = max(self.now, min([self.now + seconds, *moments]))
        for when, gpu in [one for one in self._absent if one[0] <= self.now]:
            self._absent.remove((when, gpu))
            self._free.append(gpu)
        found = []
        while self._running and self._running[0].time <= self.now:
            ending = heapq.heappop(self._running)
            if ending.finished.lost:
                self.losses += 1
                self._absent.append((self.now + RESTART, ending.gpu))
            else:
                self._free.append(ending.gpu)
            found.append(ending.finished)
        self._real = time.perf_counter()
        return found

    def workers(self) -> tuple[str, ...]:
        """Name the present workers."""
        return tuple(f"gpu-{number}" for number in range(self._site.gpus - len(self._absent)))

    @property
    def link(self) -> str:
        """Empty: there is no page."""
        return ""

    def close(self) -> None:
        """Do nothing."""

    def _spend(self, seconds: float) -> None:
        """Advance the clock by the leader's own real time, and by `seconds`."""
        real = time.perf_counter()
        self.now += real - self._real + seconds
        self.led += real - self._real + seconds
        self._real = real

    def _seconds(self) -> float:
        mean = self._site.host + self._site.device
        return mean * max(0.2, self._random.gauss(1.0, self._site.spread))


def simulate(folder: Path, site: Site) -> dict[str, Any]:
    """Run the sessions of a site; return its hours, the use of its GPUs and the share of the leader's time."""
    settings = load_config().as_tree()
    step = Step(name="qsm", kind="qsm", inputs={}, settings=settings)
    sessions = tuple(Session(subject=f"{number:06d}", steps=(step,)) for number in range(site.sessions))
    plan = CohortPlan(str(folder / "bids"), str(folder / "out"), sessions)
    pools: list[VirtualPool] = []

    def make(_: CohortPlan, __: threading.Event) -> VirtualPool:
        pools.append(VirtualPool(site))
        return pools[0]

    retries: list[Event] = []
    start = time.perf_counter()
    outcome = run_cohort(
        plan,
        RunSettings(device="cpu"),
        lambda e: retries.append(e) if e.kind == "retry" else None,
        make_pool=make,
    )
    if outcome.count("done") != site.sessions:
        raise RuntimeError(f"{outcome.count('done')} of {site.sessions} sessions done")
    pool = pools[0]
    return {
        "name": "simulation",
        "sessions": site.sessions,
        "gpus": site.gpus,
        "session_seconds": site.host + site.device,
        "hours": pool.now / HOUR,
        "sessions_per_hour": HOUR * site.sessions / pool.now,
        "gpu_use": pool.busy / (pool.now * site.gpus),
        "leader_use": pool.led / pool.now,
        "losses": pool.losses,
        "retries": len(retries),
        "real_seconds": time.perf_counter() - start,
    }

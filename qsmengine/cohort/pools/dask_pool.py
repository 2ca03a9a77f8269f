"""Pool that runs sessions on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import itertools
import queue
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

from qsmengine.cohort.plan.model import CohortPlan, Session
from qsmengine.cohort.pools.base import Finished
from qsmengine.cohort.pools.devices import Watch
from qsmengine.cohort.pools.worker import run_remote
from qsmengine.cohort.work.exchange import Options, SessionOutcome
from qsmengine.errors import DeviceError, describe

LOOK = 0.4
"""Interval between requests to the scheduler for its list of workers [s]."""
MISSING_PATIENCE = 10.0
"""Delay before lost workers of the pool's own cluster are requested again [s]."""
FETCH_PATIENCE = 10.0
"""Time limit for fetching an outcome from its worker [s]. An outcome that was lost with its worker never
arrives: Dask waits for another worker to compute it again."""
RESTART_PATIENCE = 60.0
"""Time limit for restarting the process of a worker [s]."""


class DaskPool:
    """A pool over a Dask client.

    Parameters
    ----------
    client
        Connected ``distributed.Client``; the pool closes it.
    plan
        Folders of the run.
    own
        Cluster that ends with the pool; None for an existing scheduler.
    wanted
        Target number of workers; by default the largest number seen so far.
    replenish
        Requests missing workers up to a number.
    leave_out
        Ends the worker at a place for good. By default the scheduler retires it.
    spares
        Number of workers with a failing GPU that `replenish` replaces by others, such as jobs on other nodes.
    function
        Function to run in a worker; takes and returns text as :func:`run_remote` does.
    """

    def __init__(
        self,
        client: Any,
        plan: CohortPlan,
        *,
        own: Any = None,
        wanted: int = 1,
        replenish: Callable[[int], None] | None = None,
        leave_out: Callable[[str], None] | None = None,
        spares: int = 0,
        function: Callable[[str, str, str, str, str], str] = run_remote,
    ) -> None:
        self._client, self._plan, self._own = client, plan, own
        self._replenish, self._function = replenish, function
        self._leave_out, self._spares, self._watch = leave_out, spares, Watch()
        self._on_cpu = self._may_fall_back = False
        self._numbers = itertools.count()
        self._futures: dict[str, tuple[Any, Session]] = {}
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._most = wanted
        self._complete_at = time.monotonic()
        self._looked_at = 0.0
        self._names: tuple[str, ...] = ()
        self._look_at_workers()

    @property
    def slots(self) -> int:
        """Number of present workers, at least one."""
        return max(1, len(self._names))

    def submit(self, session: Session, options: Options, ahead: Session | None) -> None:
        """Send a session to the scheduler."""
        self._may_fall_back = options.fall_back
        if self._on_cpu:
            options = options.model_copy(update={"device": "cpu", "spread": 0})
        key = f"qsmengine-{options.run}-{session.key}-{next(self._numbers)}"
        texts = (
            session.model_dump_json(exclude_defaults=True),
            self._plan.bids,
            self._plan.out,
            options.model_dump_json(),
            "" if ahead is None else ahead.model_dump_json(exclude_defaults=True),
        )
        future = self._client.submit(self._function, *texts, key=key, pure=False)
        self._futures[key] = (future, session)
        future.add_done_callback(lambda _: self._ended.put(key))

    def wait(self, seconds: float) -> list[Finished]:
        """Return sessions that have ended.

        Raises
        ------
        DeviceError
            If the scheduler is lost, or if no GPU is left and the CPU may not be used instead.
        """
        keys = []
        with suppress(queue.Empty):
            keys.append(self._ended.get(timeout=seconds))
            while True:
                keys.append(self._ended.get_nowait())
        ended = [self._collect(key) for key in keys if key in self._futures]
        if any(one.lost for one in ended) or time.monotonic() - self._looked_at > LOOK:
            self._look_at_workers()
        return ended

    def workers(self) -> tuple[str, ...]:
        """Return the addresses of the workers."""
        return self._names

    @property
    def link(self) -> str:
        """Address of Dask's dashboard."""
        return str(self._client.dashboard_link)

    def close(self) -> None:
        """Cancel the sessions in progress and end the pool's own cluster."""
        with suppress(Exception):
            self._client.cancel([future for future, _ in self._futures.values()], force=True)
        self._futures.clear()
        with suppress(Exception):
            self._client.close(timeout=5)
        if self._own is not None:
            with suppress(Exception):
                self._own.close(timeout=20)

    def _collect(self, key: str) -> Finished:
        future, session = self._futures.pop(key)
        try:
            outcome = SessionOutcome.model_validate_json(future.result(timeout=FETCH_PATIENCE))
        except TimeoutError:
            with suppress(Exception):
                self._client.cancel([future], force=True)
            return Finished(session, lost=True)
        except (CancelledError, asyncio.CancelledError) as error:
            raise DeviceError("the connection to the scheduler was lost; run again to resume") from error
        except Exception as error:  # noqa: BLE001
            # A worker may also die after its session has ended but before the outcome has been fetched.
            if type(error).__name__ == "KilledWorker":
                return Finished(session, lost=True)
            return Finished(session, error=describe(error)[0])
        if outcome.device_problem:
            future.release()  # else the scheduler repeats the session when its worker is restarted
            note = self._device_failed(outcome)
            return Finished(session, lost=outcome.lost_device, returned=not outcome.lost_device, note=note)
        self._watch.finished(outcome.place)
        return Finished(session, outcome)

    def _device_failed(self, outcome: SessionOutcome) -> str:
        """Restart the worker whose GPU failed, or leave it out; return what was done."""
        problem = f"{outcome.device_problem} (worker {outcome.address})"
        if not self._watch.hopeless(outcome):
            self._restart(outcome.address)
            return f"{problem}; the worker is restarted"
        if self._most > 1 or self._spares:
            if self._spares:
                self._spares -= 1
            else:
                self._most -= 1
            self._retire(outcome)
            return f"{problem}; the worker is left out"
        if not self._may_fall_back:
            raise DeviceError(f"no usable GPU is left: {problem}; replace it, then run again to resume")
        self._on_cpu = True
        self._restart(outcome.address)
        return f"{problem}; no GPU is left, the CPU computes from now on"

    def _restart(self, address: str) -> None:
        try:
            self._client.restart_workers([address], timeout=RESTART_PATIENCE, raise_for_error=False)
        except ValueError:  # nobody guards it, who could start it again
            self._client.retire_workers([address])

    def _retire(self, outcome: SessionOutcome) -> None:
        if self._leave_out is None:
            self._client.retire_workers([outcome.address])
        else:
            self._leave_out(outcome.place)
        self._look_at_workers()

    def _look_at_workers(self) -> None:
        try:
            self._names = tuple(sorted(self._client.nthreads()))
        except Exception as error:
            raise DeviceError(f"the connection to the scheduler was lost ({error})") from error
        now = self._looked_at = time.monotonic()
        self._most = max(self._most, len(self._names))
        if len(self._names) >= self._most and self._names:
            self._complete_at = now
        elif self._replenish is not None and now - self._complete_at > MISSING_PATIENCE:
            self._complete_at = now
            self._replenish(self._most)

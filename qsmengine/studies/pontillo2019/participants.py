"""Participants of the virtual cohort, made several at a time: each finished one is a file and is made once.

An interrupted study continues from these files, whatever the number of processes.
"""

from __future__ import annotations

import json
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeAlias

from qsmengine.errors import DeviceError
from qsmengine.io.atomic import write_json

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import BaseModel

OnParticipant: TypeAlias = Callable[[int, int, bool], None]
"""Called with (number done, total, whether made by an earlier run)."""


Make: TypeAlias = Callable[[Mapping[str, Any], int], Mapping[str, Any]]
"""Makes a participant from its row of the cohort and its number; returns what is kept of it."""


def each_participant(
    drawn: pd.DataFrame,
    settings: BaseModel,
    folder: Path,
    make: Make,
    *,
    workers: int = 1,
    intact: Callable[[str], bool] = lambda _: True,
    on_participant: OnParticipant | None = None,
) -> list[Mapping[str, Any]]:
    """Return what is kept of every participant, in the order of `drawn`; make those that are missing.

    Parameters
    ----------
    drawn
        Cohort.
    settings
        What the participants depend on; files that were written with others are not used.
    folder
        Output folder; the files are in its ``subjects/``.
    make
        Makes a participant. Other processes must be able to import it.
    workers
        Number of processes; up to 1: this process.
    intact
        Whether the other files of a participant that was made earlier are there.
    on_participant
        Called after every participant.

    Raises
    ------
    DeviceError
        If a process died. Participants that were finished are kept.
    """
    rows = [{str(k): v for k, v in row.items()} for row in drawn.to_dict("records")]
    paths = [folder / "subjects" / f"{row['participant_id']}.json" for row in rows]
    found = [earlier(path, settings) if intact(path.stem) else None for path in paths]
    missing = [(row, path) for row, path, known in zip(rows, paths, found, strict=True) if known is None]
    kept: list[Mapping[str, Any]] = []
    with _pool(min(workers, len(missing))) as run:
        made = iter(run(partial(_make, make, settings.model_dump()), missing))
        for known in found:
            kept.append(next(made) if known is None else known)
            if on_participant is not None:
                on_participant(len(kept), len(found), known is not None)
    return kept


def earlier(path: Path, settings: BaseModel) -> dict[str, Any] | None:
    """Return what is known of a participant; None without a file that was written with these settings."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content if content.get("settings") == settings.model_dump() else None


def _make(
    make: Make, settings: Mapping[str, Any], participant: tuple[Mapping[str, Any], Path]
) -> Mapping[str, Any]:
    row, path = participant
    path.unlink(missing_ok=True)
    content = make(row, int(path.stem.removeprefix("sub-")))
    write_json(path, {"settings": settings, **content})
    return content


@contextmanager
def _pool(processes: int) -> Iterator[Callable[..., Any]]:
    """Yield a map over participants; if it is left early, those that were begun are finished."""
    if processes <= 1:
        yield map
        return
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_start)
    try:
        yield partial(_in_turn, pool, processes)
    except BrokenProcessPool as error:
        raise DeviceError(
            f"one of {processes} processes died, perhaps for lack of memory; finished participants are kept, "
            "and the same command continues (with fewer --workers)"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _in_turn(
    pool: ProcessPoolExecutor, processes: int, work: Callable[..., Any], items: Iterable[Any]
) -> Iterator[Any]:
    """Yield `work` of every item in order; no more are begun than there are processes."""
    begun = deque[Future[Any]]()
    for item in items:
        begun.append(pool.submit(work, item))
        if len(begun) == processes:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _start() -> None:
    """Leave Ctrl-C to the main process, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

"""CPU threads in a forked process.

``os.fork``, and thus multiprocessing's start method "fork", copies only the calling thread. The thread pool of
OpenMP exists in the child as data without threads, and a child that used it would wait forever. In a
child that was forked after the libraries were loaded, kernels and transforms therefore run on one thread.
Processes started by "spawn" or "forkserver" use all their threads.
"""

from __future__ import annotations

import os
from functools import cache

_state = {"forked": False}


@cache
def watch_forks() -> None:
    """Start to detect forks; called before a library with a thread pool is loaded."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_note)


def usable_threads(threads: int) -> int:
    """Return `threads`, or 1 in a forked process."""
    return 1 if _state["forked"] else threads


def _note() -> None:
    _state["forked"] = True

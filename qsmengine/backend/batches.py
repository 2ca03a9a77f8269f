"""Batches of small matrices: distributed to the CPU's threads, or processed in sequence on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from qsmengine.backend.device import Device

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_batches(function: Callable[[Item], Result], items: Sequence[Item], device: Device) -> Iterator[Result]:
    """Return the results of `function` in the order of `items`.

    On the CPU as many items run in parallel as the device has threads, and BLAS is limited to the calling
    thread: for matrices of some tens of rows its threads cost far more than they gain. The result of a batch
    does not depend on the number of threads.
    """
    if device.kind == "cuda" or device.threads == 1:
        with threadpool_limits(1, user_api="blas"):
            yield from map(function, items)
        return
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(device.threads) as pool:
        for start in range(0, len(items), device.threads):
            yield from pool.map(function, items[start : start + device.threads])

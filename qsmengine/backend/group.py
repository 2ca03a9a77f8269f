"""Several devices that share the parts of one job, and the overlap of copies with kernels on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from queue import Empty, SimpleQueue
from typing import TypeVar

from qsmengine.backend.device import Device, cuda_devices
from qsmengine.errors import DeviceError

Item = TypeVar("Item")

STREAMS = 2
"""Parts under way at a time on a GPU: the copies of one run while the other computes."""


def device_group(device: Device, count: int) -> tuple[Device, ...]:
    """`device` and the GPUs that follow it, `count` in all; the CPU alone.

    Raises
    ------
    DeviceError
        Where the machine has fewer GPUs.
    """
    if device.kind == "cpu" or count == 1:
        return (device,)
    found, _ = cuda_devices()
    if device.index + count > found:
        raise DeviceError(f"{count} GPUs from {device} on are asked for: this machine has {found}")
    return tuple(Device("cuda", device.index + k, device.threads) for k in range(count))


def workers(devices: Sequence[Device]) -> list[Device]:
    """One entry for every part that is under way at a time."""
    return [d for d in devices for _ in range(STREAMS if d.kind == "cuda" else 1)]


def share_out(
    function: Callable[[Device, Item], None], items: Sequence[Item], devices: Sequence[Device]
) -> None:
    """Call `function(device, item)` for every item, each on the device that is free first.

    On a GPU two items are under way at a time, each on a stream of its own. What `function` does must depend on
    the item alone. The first exception ends the job and is raised.
    """
    waiting: SimpleQueue[Item] = SimpleQueue()
    for item in items:
        waiting.put(item)

    def work(device: Device) -> None:
        with _own_stream(device):
            while True:
                try:
                    item = waiting.get_nowait()
                except Empty:
                    return
                function(device, item)

    places = workers(devices)[: max(len(items), 1)]
    if len(places) == 1:
        work(places[0])
        return
    with ThreadPoolExecutor(len(places)) as pool:
        futures = [pool.submit(work, device) for device in places]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except BaseException:
            with contextlib.suppress(Empty):
                while True:
                    waiting.get_nowait()
            raise


@contextlib.contextmanager
def _own_stream(device: Device) -> Iterator[None]:
    """Work of this thread goes to a stream of its own, and is done when the block ends."""
    if device.kind == "cpu":
        yield
        return
    cupy = device.xp
    with cupy.cuda.Device(device.index), cupy.cuda.Stream(non_blocking=True) as stream:
        yield
        stream.synchronize()

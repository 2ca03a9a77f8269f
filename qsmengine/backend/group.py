"""Distribution of a job over several devices, with copies and kernels overlapped on a GPU."""

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
"""Number of parts in flight on a GPU: one is copied while the other is computed."""


def device_group(device: Device, count: int) -> tuple[Device, ...]:
    """Return `device` and the GPUs that follow it, `count` in total; for the CPU only itself.

    Raises
    ------
    DeviceError
        If the machine has fewer GPUs.
    """
    if device.kind == "cpu" or count == 1:
        return (device,)
    found, _ = cuda_devices()
    if device.index + count > found:
        raise DeviceError(f"{count} GPUs from {device} on are requested: this machine has {found}")
    return tuple(Device("cuda", device.index + k, device.threads) for k in range(count))


def workers(devices: Sequence[Device]) -> list[Device]:
    """Return one entry for every part in flight."""
    return [d for d in devices for _ in range(STREAMS if d.kind == "cuda" else 1)]


def share_out(
    function: Callable[[Device, Item], None], items: Sequence[Item], devices: Sequence[Device]
) -> None:
    """Call `function(device, item)` for every item, each on the device that is free first.

    On a GPU two items are in flight, each on a separate stream. The work of `function` must depend on the item
    alone. The first exception ends the job and is raised.
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
    """Queue the work of this thread to a separate stream, which is synchronised when the block ends."""
    if device.kind == "cpu":
        yield
        return
    cupy = device.xp
    with cupy.cuda.Device(device.index), cupy.cuda.Stream(non_blocking=True) as stream:
        yield
        stream.synchronize()

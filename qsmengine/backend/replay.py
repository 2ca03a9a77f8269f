"""Replay of steps with the same kernels on the same arrays: captured once on a GPU, then replayed.

Queueing a kernel takes the host some microseconds. On small volumes, and on the coarse grids of multigrid, the
kernel takes less. A CUDA graph contains the kernels of a whole step with their arguments. One call queues it,
and its results are identical.

cuFFT's transforms and CuPy's elementwise kernels can be captured. Calls of cuBLAS and cuSOLVER, copies to the
host and waits for the device cannot. The memory of an array that is allocated during a capture would be reused
while the graph still writes to it, so a step that allocates is not captured either.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NoReturn

from qsmengine.backend.device import Device

Step = Callable[[int], object]
"""Called with the number of the turn. At every call with the same turn it queues the same kernels on the same
arrays with the same scalars, and it changes nothing but the content of these arrays."""


class Replay:
    """Repeated step: called directly on the CPU, replayed as a CUDA graph from the second round on a GPU.

    The arrays that the step uses must live as long as this object. A step that CUDA refuses to capture is
    called directly.

    Parameters
    ----------
    device
        Where the step runs.
    turns
        Steps that swap two buffers take turns: calls get 0, 1, ..., turns - 1, 0, 1, ...
    """

    def __init__(self, device: Device, turns: int = 1) -> None:
        self._device, self._turns, self._calls = device, turns, 0
        self._graphs: dict[int, Any] = {}
        self._capturing = device.kind == "cuda"

    def __call__(self, step: Step) -> None:
        """Run the next turn of `step`, which must be the same step at every call."""
        turn = self._calls % self._turns
        graph = self._graph(step, turn) if self._capturing and self._calls >= self._turns else None
        if graph is None:
            step(turn)
        else:
            with self._device.xp.cuda.Device(self._device.index):
                graph.launch()
        self._calls += 1

    def _graph(self, step: Step, turn: int) -> Any:
        if turn not in self._graphs:
            try:
                self._graphs[turn] = capture(step, turn, self._device)
            except (CaptureError, NotImplementedError, self._device.xp.cuda.runtime.CUDARuntimeError):
                # CuPy raises NotImplementedError for what it cannot capture, such as calls of cuBLAS
                self._capturing = False  # what is captured already stays right, but is not worth its own path
        return self._graphs[turn] if self._capturing else None


class CaptureError(RuntimeError):
    """A step cannot be captured: it allocated memory, or graphs are disabled."""


def capture(step: Step, turn: int, device: Device) -> Any:
    """Return the CUDA graph of one turn without running it."""
    cuda = device.xp.cuda
    with cuda.Device(device.index), cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture(cuda.runtime.streamCaptureModeThreadLocal)
        try:
            with cuda.using_allocator(_refuse):
                step(turn)
        except BaseException:
            with contextlib.suppress(cuda.runtime.CUDARuntimeError):
                stream.end_capture()
            raise
        return stream.end_capture()


def _refuse(size: int) -> NoReturn:
    raise CaptureError(f"{size} bytes allocated")

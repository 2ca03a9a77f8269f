"""Streams, events and captured graphs.

Work runs at once, in the order in which it is queued. Two things that real streams do are played: an
asynchronous copy to the host arrives only when the stream is waited for (until then the host sees 0xA5), and
host memory that an asynchronous copy reads must not change before that.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from standin.counting import note
from standin.devices import count_launch
from standin.runtime import CUDARuntimeError

Action = Callable[[], None]

_THREAD = threading.local()
_STREAMS: weakref.WeakSet[Stream] = weakref.WeakSet()


class Graph:
    """``cupy.cuda.Graph``: work that was captured, for any number of launches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("currently this class cannot be initiated by users")

    @classmethod
    def _captured(cls, actions: list[tuple[str, str, int, Action]]) -> Graph:
        graph = cls.__new__(cls)
        graph._actions = actions
        return graph

    def launch(self, stream: Stream | None = None) -> None:
        """Run the captured work."""
        if (stream or current_stream()).is_capturing():
            raise CUDARuntimeError(900)
        note("graph", "launch", len(self._actions))
        for kind, name, size, action in self._actions:
            note(kind, name, size)
            action()

    def upload(self, stream: Stream | None = None) -> None:
        """Prepare a launch: nothing to do."""


class Stream:
    """``cupy.cuda.Stream``."""

    null: Stream

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None
    ) -> None:
        self.non_blocking = non_blocking and not (null or ptds)
        self._default = null or ptds
        self._pending: list[Action] = []
        self._capture: list[tuple[str, str, int, Action]] | None = None
        self._before: list[Stream] = []
        _STREAMS.add(self)

    @property
    def ptr(self) -> int:
        """Address of the stream; 0 is the default stream."""
        return 0 if self._default else id(self)

    def __enter__(self) -> Stream:
        self._before.append(current_stream())
        _THREAD.stream = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        _THREAD.stream = self._before.pop()

    def use(self) -> Stream:
        """Make this stream current for good."""
        _THREAD.stream = self
        return self

    @property
    def done(self) -> bool:
        """Whether nothing is under way."""
        return not self._pending

    def synchronize(self) -> None:
        """Wait for the stream."""
        if self._capture is not None:
            raise CUDARuntimeError(900)
        note("sync", "stream.synchronize")
        self._arrive()

    def record(self, event: Event | None = None) -> Event:
        """An event at this point of the stream."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Later work waits for `event`: it does already."""

    def begin_capture(self, mode: int | None = None) -> None:
        """Collect work into a graph instead of running it."""
        if self._default:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._capture is not None:
            raise CUDARuntimeError(901)
        self._capture = []

    def end_capture(self) -> Graph:
        """The graph of the work since :meth:`begin_capture`."""
        if self._capture is None:
            raise RuntimeError("stream is not in the capture mode")
        actions, self._capture = self._capture, None
        return Graph._captured(actions)

    def is_capturing(self) -> bool:
        """Whether work is being collected."""
        return self._capture is not None

    def _arrive(self) -> None:
        pending, self._pending = self._pending, []
        for action in pending:
            action()


Stream.null = Stream(null=True)


class Event:
    """``cupy.cuda.Event``."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self._time: float | None = None
        self._stream: Stream | None = None

    @property
    def done(self) -> bool:
        """Whether the event has happened."""
        return self._stream is None or self._stream.done

    def record(self, stream: Stream | None = None) -> None:
        """Place the event at this point of a stream."""
        self._stream, self._time = stream or current_stream(), time.perf_counter()

    def synchronize(self) -> None:
        """Wait for the event."""
        refuse_capture()
        note("sync", "event.synchronize")
        if self._stream is not None:
            self._stream._arrive()


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between two events."""
    return 1000.0 * ((end_event._time or 0.0) - (start_event._time or 0.0))


def current_stream(device_id: int = -1) -> Stream:
    """This thread's current stream."""
    stream: Stream = getattr(_THREAD, "stream", Stream.null)
    return stream


def queue(kind: str, name: str, size: int, action: Action) -> None:
    """Run work now, or collect it where the current stream is being captured."""
    stream = current_stream()
    if stream._capture is not None:
        stream._capture.append((kind, name, size, action))
        return
    count_launch()
    note(kind, name, size)
    action()


def refuse_capture() -> None:
    """Refuse what must not happen while a stream is being captured."""
    if current_stream().is_capturing():
        raise CUDARuntimeError(900)


def wait(name: str) -> None:
    """The host waits for the current stream."""
    refuse_capture()
    note("sync", name)
    current_stream()._arrive()


def synchronize_device() -> None:
    """The host waits for every stream."""
    refuse_capture()
    note("sync", "device.synchronize")
    for stream in list(_STREAMS):
        stream._arrive()


def arrive_later(stream: Stream | None, destination: np.ndarray, content: np.ndarray) -> None:
    """Copy to the host when the stream is waited for."""
    destination.view(np.uint8).fill(0xA5) if destination.flags.c_contiguous and destination.ndim else None

    def arrive() -> None:
        destination[...] = content

    (stream or current_stream())._pending.append(arrive)


def reads_until_wait(stream: Stream | None, source: np.ndarray) -> None:
    """An asynchronous copy reads host memory, which must not change before the stream is waited for."""
    before = source.copy()

    def check() -> None:
        if before.tobytes() != source.tobytes():
            raise AssertionError("host memory changed while an asynchronous copy to the GPU was reading it")

    (stream or current_stream())._pending.append(check)

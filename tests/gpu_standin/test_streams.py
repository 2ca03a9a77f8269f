"""Asynchronous copies, captured graphs and plans behave as on a GPU where that can be seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def stream(cupy: Any) -> Any:
    with cupy.cuda.Stream(non_blocking=True) as stream:
        yield stream


def _pinned(cupy: Any, values: np.ndarray) -> np.ndarray:
    buffer = cupy.cuda.alloc_pinned_memory(values.nbytes)
    array = np.frombuffer(buffer, values.dtype, values.size).reshape(values.shape)
    array[...] = values
    return array


def test_an_asynchronous_copy_arrives_when_the_stream_is_waited_for(cupy: Any, stream: Any) -> None:
    out = _pinned(cupy, np.zeros(8, np.float32))
    cupy.arange(8, dtype=np.float32).get(out=out, blocking=False)
    assert not np.array_equal(out, np.arange(8))
    stream.synchronize()
    np.testing.assert_array_equal(out, np.arange(8))


def test_a_source_that_changes_during_an_asynchronous_copy_is_noticed(cupy: Any, stream: Any) -> None:
    source = _pinned(cupy, np.ones(8, np.float32))
    array = cupy.zeros(8, np.float32)
    array.set(source)
    stream.synchronize()
    array.set(source)
    source[0] = 2
    with pytest.raises(AssertionError, match="host memory changed"):
        stream.synchronize()


def test_a_graph_runs_its_work_at_each_launch(cupy: Any, stream: Any) -> None:
    a, b = cupy.ones(4, np.float32), cupy.zeros(4, np.float32)
    stream.begin_capture()
    cupy.add(a, b, out=b)
    b *= 2
    graph = stream.end_capture()
    assert not b.get().any()
    for expected in (2.0, 6.0):
        graph.launch()
        assert (b.get() == expected).all()


def test_waiting_copying_and_allocating_are_refused_during_a_capture(cupy: Any, stream: Any) -> None:
    a = cupy.ones(4, np.float32)
    attempts = (a.get, lambda: float(a[0]), lambda: a + 1, lambda: cupy.zeros(3), stream.synchronize)
    stream.begin_capture()
    for attempt in attempts:
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="StreamCapture"):
            attempt()
    stream.end_capture()


def test_the_default_stream_cannot_be_captured(cupy: Any) -> None:
    with pytest.raises(RuntimeError, match="default"):
        cupy.cuda.Stream.null.begin_capture()

"""What a piece of code asks of the GPU is counted, with the line that asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

WAITING = {
    "float": lambda cp, a: float(a[0]),
    "bool": lambda cp, a: bool(a[0] > 0),
    "item": lambda cp, a: a[0].item(),
    "int": lambda cp, a: int(a[0]),
    "get": lambda cp, a: a.get(),
    "boolean index": lambda cp, a: a[a > 2],
    "flatnonzero": lambda cp, a: cp.flatnonzero(a),
    "unique": lambda cp, a: cp.unique(a),
    "stream.synchronize": lambda cp, a: cp.cuda.get_current_stream().synchronize(),
}


@pytest.mark.parametrize("name", WAITING)
def test_every_wait_of_the_host_is_counted(name: str, cupy: Any) -> None:
    from standin.counting import record

    array = cupy.arange(5)
    with record() as counts:
        WAITING[name](cupy, array)
    assert [row[:2] for row in counts.by_name("sync")] == [(name, 1)]
    assert counts.by_caller("sync")[0][0].startswith("test_counting.py:")


def test_copies_launches_and_transforms_are_counted_with_their_bytes(cupy: Any) -> None:
    import cupyx.scipy.fft
    from standin.counting import record

    with record() as counts:
        array = cupy.asarray(np.ones((4, 4, 4), np.float32))
        array += array
        spectrum = cupyx.scipy.fft.rfftn(array)
        spectrum.get()
    assert counts.bytes("to device") == 256
    assert (counts.times("fft"), counts.bytes("fft")) == (1, 256 + 4 * 4 * 3 * 8)
    assert counts.bytes("to host") == 4 * 4 * 3 * 8
    assert counts.by_name("operation")[0] == ("add", 1, 3 * 256)


def test_without_a_recorder_nothing_is_counted(cupy: Any) -> None:
    from standin.counting import record

    with record() as counts:
        pass
    cupy.zeros(3).get()
    assert not counts.events

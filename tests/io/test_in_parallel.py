"""Work on several files at once keeps their order and reports the first error."""

from __future__ import annotations

import threading

import pytest

from qsmengine.io.in_parallel import in_parallel


def test_results_are_in_order_and_several_threads_work():
    both = threading.Barrier(2)  # passes only if two calls run at once

    def work(number):
        if number < 2:
            both.wait(timeout=60)
        return number * number

    assert in_parallel(work, range(20)) == [n * n for n in range(20)]
    assert in_parallel(str, [7]) == ["7"]
    assert in_parallel(str, []) == []


def test_the_error_of_the_first_failing_item_is_raised():
    def work(number):
        if number in {3, 5}:
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match=r"^3$"):
        in_parallel(work, range(8))

"""Device memory is counted, and runs out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

MIB = 1 << 20


@pytest.fixture
def pool(cupy: Any) -> Any:
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    yield pool
    pool.set_limit(size=0)


def test_arrays_count_until_they_are_deleted_and_views_count_nothing(cupy: Any, pool: Any) -> None:
    from standin import memory

    before = memory.reset_peak()
    array = cupy.zeros((MIB,), np.float32)
    view = array[::2].reshape(2, -1)
    assert pool.used_bytes() - before == 4 * MIB
    del array
    assert pool.used_bytes() - before == 4 * MIB
    del view
    assert pool.used_bytes() == before
    assert memory.peak_bytes() - before == 4 * MIB
    assert pool.free_bytes() >= 4 * MIB
    pool.free_all_blocks()
    assert pool.free_bytes() == 0


def test_small_arrays_take_512_bytes(cupy: Any, pool: Any) -> None:
    before = pool.used_bytes()
    small = cupy.zeros(1, np.uint8)
    assert small.nbytes == 1
    assert pool.used_bytes() - before == 512


def test_beyond_the_limit_memory_runs_out(cupy: Any, pool: Any) -> None:
    pool.set_limit(size=pool.used_bytes() + 4 * MIB)
    kept = cupy.zeros(3 * MIB, np.uint8)
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="Out of memory allocating 2,097,152 bytes"):
        cupy.zeros(2 * MIB, np.uint8)
    del kept
    assert cupy.zeros(2 * MIB, np.uint8).size == 2 * MIB


def test_beyond_the_device_s_memory_it_runs_out(cupy: Any, pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from standin import memory

    monkeypatch.setattr(memory, "TOTAL", pool.total_bytes() + MIB)
    assert cupy.cuda.runtime.memGetInfo() == (MIB, memory.TOTAL)
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        cupy.zeros(2 * MIB, np.uint8)


def test_plans_hold_a_work_area_until_the_cache_forgets_them(cupy: Any, pool: Any) -> None:
    import cupyx.scipy.fft

    cache = cupy.fft.config.get_plan_cache()
    cache.clear()
    before = pool.used_bytes()
    cupyx.scipy.fft.rfftn(cupy.zeros((16, 16, 16), np.float32))
    assert cache.get_curr_size() == 1
    assert pool.used_bytes() - before == cache.get_curr_memsize() == 16 * 16 * 9 * 8
    cache.clear()
    assert pool.used_bytes() == before

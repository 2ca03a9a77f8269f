import os
import platform
import subprocess
import sys

import pytest

from qsmengine.backend import memory
from qsmengine.backend.device import cpu


@pytest.fixture
def group(tmp_path, monkeypatch):
    """Files of a control group."""
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    return tmp_path


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="needs the size of the machine's memory")
def test_available_memory_is_a_part_of_the_machine_s(group):
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory.available_memory(cpu()) <= total


@pytest.mark.parametrize(
    ("limit", "usage"),
    [("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")],
)
def test_limit_of_the_control_group_counts(group, limit, usage):
    (group / "memory").mkdir()
    (group / limit).write_text("1000000\n")
    (group / usage).write_text("400000\n")
    assert memory.available_memory(cpu()) == 600000


def test_group_over_its_limit_has_nothing_left(group):
    (group / "memory.max").write_text("1000\n")
    (group / "memory.current").write_text("4000\n")
    assert memory.available_memory(cpu()) == 0


def test_group_without_limit_does_not_count(group):
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("4000\n")
    assert memory.available_memory(cpu()) > 1 << 20


def test_freeing_the_pool_gives_back_the_work_areas_of_cached_plans(gpu):
    import cupyx.scipy.fft

    memory.free_pool(gpu)
    pool, cache = gpu.xp.get_default_memory_pool(), gpu.xp.fft.config.get_plan_cache()
    before = pool.total_bytes()
    cupyx.scipy.fft.rfftn(gpu.zeros((24, 25, 26)))
    assert cache.get_curr_size() > 0
    assert pool.total_bytes() > before
    memory.free_pool(gpu)
    assert cache.get_curr_size() == 0
    assert pool.total_bytes() == before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_memory_of_a_freed_array_is_used_again():
    code = (
        "import numpy as np\n"
        "from resource import RUSAGE_SELF, getrusage\n"
        "from qsmengine.backend.memory import keep_freed_memory\n"
        "assert keep_freed_memory()\n"
        "def page_faults():\n"
        "    before = getrusage(RUSAGE_SELF).ru_minflt\n"
        "    np.ones(12 << 20, np.float32)\n"
        "    return getrusage(RUSAGE_SELF).ru_minflt - before\n"
        "first, second = page_faults(), page_faults()\n"
        "assert second < first / 2, (first, second)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Memory: what a run may use on a device, and what is kept for reuse."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from qsmengine.backend.device import Device

LARGE = 1 << 27
"""Size of an array [bytes] from which its memory is always returned to the system at once."""
KEPT = 1 << 30
"""Largest amount of freed memory [bytes] that the process keeps for smaller arrays."""

_CGROUP = Path("/sys/fs/cgroup")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def available_memory(device: Device) -> int | None:
    """Return the bytes that can still be allocated on `device`; None if the system does not report them.

    On the CPU this is the smaller of the memory left on the machine and in the control group (container, batch
    job); on a GPU the memory that the driver reports as free plus the unused memory of CuPy's pool, within the
    pool's limit.
    """
    if device.kind == "cuda":
        cupy = device.xp
        with cupy.cuda.Device(device.index):
            free, _ = cupy.cuda.runtime.memGetInfo()
            pool = cupy.get_default_memory_pool()
            left = int(free) + int(pool.free_bytes())
            limit = int(pool.get_limit())
            return min(left, max(0, limit - int(pool.used_bytes()))) if limit else left
    known = [n for n in (_machine_memory(), _group_memory()) if n is not None]
    return min(known) if known else None


def _machine_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return _page_memory()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _page_memory() -> int | None:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _group_memory() -> int | None:
    """Return the memory left by the control group's limit (version 2, then 1); None without a limit."""
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most, used = ((_CGROUP / name).read_text(encoding="ascii").strip() for name in (limit, usage))
        except OSError:
            continue
        if most.isdecimal() and int(most) < 1 << 60:
            return max(0, int(most) - int(used))
    return None


def keep_freed_memory() -> bool:
    """Let this process reuse the memory of freed arrays; return whether the C library (glibc) can.

    Otherwise every array above 32 MiB comes from the system, which clears its pages, and goes back to it. That
    takes a quarter of the time of a single-step inversion that has only just begun to iterate. All threads
    share one heap, so that the computation gets what the threads that read the files have freed. The setting is
    for a process that computes until it ends.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    options = {_M_MMAP_THRESHOLD: LARGE, _M_TRIM_THRESHOLD: KEPT, _M_ARENA_MAX: 1}
    return all(set_option(option, value) for option, value in options.items())


def limit_pool(device: Device, limit: int) -> None:
    """Bound CuPy's memory pool on a GPU to `limit` bytes (0: no bound); nothing on the CPU."""
    if device.kind == "cuda":
        cupy = device.xp
        with cupy.cuda.Device(device.index):
            cupy.get_default_memory_pool().set_limit(size=limit)


def free_pool(device: Device) -> None:
    """Release GPU memory that CuPy holds unused: blocks of its pools and the work areas of cached FFT plans.

    CuPy has a plan cache per thread and GPU; that of the calling thread is cleared. On the CPU nothing is done.
    """
    if device.kind == "cuda":
        cupy = device.xp
        with cupy.cuda.Device(device.index):
            cupy.fft.config.get_plan_cache().clear()
            cupy.get_default_memory_pool().free_all_blocks()
            cupy.get_default_pinned_memory_pool().free_all_blocks()

"""Compiled CPU library: choice of the variant for this processor, loading, and kernel calls."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from qsmengine.backend.forking import usable_threads, watch_forks
from qsmengine.backend.kernel import Binding, Kernel
from qsmengine.backend.sources import library_candidates, sources_hash
from qsmengine.data import Array
from qsmengine.errors import DeviceError

ITEMS_PER_TASK = 16384
"""Work items per task: few enough to balance threads, enough to hide the scheduling cost."""

_NEEDED = {
    "v4": {
        "avx512f",
        "avx512bw",
        "avx512cd",
        "avx512dq",
        "avx512vl",
        "avx512_vbmi2",
        "avx2",
        "fma",
        "bmi2",
        "f16c",
    },
    "v3": {"avx2", "fma", "bmi2", "f16c"},
    "v2": set[str](),
}
"""Processor flags that a variant needs, best first. VBMI2 excludes the first processors with AVX-512, which
lower their clock for it."""
CHOICE = "QSMENGINE_CPU_VARIANT"
"""Environment variable that names the variant to load instead of the best one."""
_BUFFER = ctypes.c_char * 0
_SCALARS = {"f32": ctypes.c_float, "f64": ctypes.c_double, "i32": ctypes.c_int, "i64": ctypes.c_longlong}


def variants() -> tuple[str, ...]:
    """Return the library variants that this processor can run, best first."""
    machine = platform.machine().lower()
    if machine in {"aarch64", "arm64"}:
        return ("neon",)
    flags = _cpu_flags()
    return tuple(variant for variant, needed in _NEEDED.items() if needed <= flags)


def _chosen_variants() -> tuple[str, ...]:
    """Return the variants to try; raises DeviceError if the environment names one that cannot run here."""
    usable, chosen = variants(), os.environ.get(CHOICE)
    if not chosen:
        return usable
    if chosen not in usable:
        raise DeviceError(f"{CHOICE}={chosen}: this processor can run {', '.join(usable)}")
    return (chosen,)


@cache
def load_library() -> tuple[ctypes.CDLL, str]:
    """Return the CPU library and the name of its variant.

    Raises
    ------
    DeviceError
        If it was not built, was built from sources other than those on disk, or `CHOICE` names a variant that
        this processor cannot run.
    """
    tried: list[str] = []
    for variant in _chosen_variants():
        for path in library_candidates(variant):
            if path.is_file():
                _let_idle_threads_sleep()
                watch_forks()
                return _checked(path), variant
            tried.append(str(path))
    raise DeviceError(
        f"the compiled CPU kernels are missing (run `make kernels`); looked at {', '.join(tried)}"
    )


def call(kernel: Kernel, threads: int, values: Mapping[str, Any]) -> None:
    """Run `kernel` on NumPy arrays."""
    bound = kernel.bind(values)
    tasks = max(1, min(4096, -(-bound.items // ITEMS_PER_TASK)))
    _function(kernel)(tasks, min(usable_threads(threads), tasks), *c_arguments(kernel, values, bound))


def c_arguments(kernel: Kernel, values: Mapping[str, Any], bound: Binding) -> list[Any]:
    """Return the arguments of the C function: addresses of arrays and scalars in order, then the dimensions.

    Raises
    ------
    InputError
        For an array whose address is not a multiple of its alignment.
    """
    arguments: list[Any] = []
    for arg in kernel.arguments:
        value = values[arg.name]
        if arg.is_array:
            value, place = address(value)
            kernel.check_address(arg, place)
        arguments.append(value)
    arguments += bound.extents
    return arguments


def c_function(kernel: Kernel, leading: tuple[Any, ...] = (), result: Any = None) -> Any:
    """Return the library's function with this signature, preceded by parameters of the types `leading`."""
    library, _ = load_library()
    function = getattr(library, kernel.name)
    types: list[Any] = [ctypes.c_void_p if a.is_array else _SCALARS[a.type] for a in kernel.arguments]
    function.argtypes = [*leading, *types, *[ctypes.c_longlong] * len(kernel.dims)]
    function.restype = result
    return function


def address(array: Array) -> tuple[Any, int]:
    """Return the address of a C-contiguous array: as a ``void*`` argument, and as a number.

    The buffer of a writable array costs a third of its ``ctypes`` attribute.
    """
    if not array.flags.writeable:
        place: int = array.ctypes.data
        return place, place
    buffer = _BUFFER.from_buffer(cast("Any", array))
    return buffer, ctypes.addressof(buffer)


@cache
def _function(kernel: Kernel) -> Any:
    return c_function(kernel, (ctypes.c_longlong, ctypes.c_int))


def _checked(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.qsmengine_sources_hash.restype = ctypes.c_char_p
    built = library.qsmengine_sources_hash().decode()
    if built != sources_hash():
        raise DeviceError(f"{path} was built from other kernel sources ({built}): run `make kernels`")
    return library


def _let_idle_threads_sleep() -> None:
    """Configure OpenMP, before it loads, not to spin after a kernel.

    The threads of the next FFT need the cores. On two busy cores an iteration of kernels and FFTs
    took 144 ms this way and 524 ms with spinning threads. An OMP_WAIT_POLICY set by the user is kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    line = next((row for row in text.splitlines() if row.startswith("flags")), "")
    return set(line.partition(":")[2].split())

"""GPU host: kernels are compiled at first use by NVRTC through CuPy's RawModule."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.kernel import DTYPES, Arg, Binding, Kernel
from qsmengine.backend.sources import inlined_source, sources_hash
from qsmengine.errors import DeviceError, InputError

WARP = 32
MAX_BLOCKS = 8192

COMPILE_OPTIONS = ("--std=c++17",)
"""Options of every kernel; the build check compiles with the same."""


def call(kernel: Kernel, device: Device, values: Mapping[str, Any]) -> None:
    """Run `kernel` on CuPy arrays of `device`."""
    bound = kernel.bind(values)
    arguments: list[Any] = []
    for arg, scalar in _parameters(kernel):
        value = values[arg.name]
        if scalar is not None:
            value = scalar(value)
        elif value.device.id != device.index:
            where = f"kernel {kernel.name}, argument {arg.name}"
            raise InputError(f"{where}: array lives on cuda:{value.device.id}, not on {device}")
        else:
            kernel.check_address(arg, value.data.ptr)
        arguments.append(value)
    arguments += _extents(bound.extents)
    cupy = device.xp
    with cupy.cuda.Device(device.index):
        try:
            _function(kernel, device.index, cupy)(*launch_shape(kernel, bound), tuple(arguments))
        except cupy.cuda.compiler.CompileException as error:
            raise DeviceError(f"kernel {kernel.name} does not compile on {device}:\n{error}") from error


def launch_shape(kernel: Kernel, bound: Binding) -> tuple[tuple[int], tuple[int, int]]:
    """Return the blocks and threads per block of a launch: about one thread per work item."""
    blocks = max(1, min(MAX_BLOCKS, -(-bound.items // kernel.threads)))
    return (blocks,), (WARP, kernel.threads // WARP)


def compile_all(device: Device) -> int:
    """Compile every kernel for `device`, or find it in CuPy's cache on disk; return their number."""
    from qsmengine.backend.signatures import all_kernels

    kernels = [kernel for kernel in all_kernels() if kernel.source.endswith(".cu")]
    cupy = device.xp
    with cupy.cuda.Device(device.index):
        for kernel in kernels:
            try:
                _function(kernel, device.index, cupy)
            except cupy.cuda.compiler.CompileException as error:
                raise DeviceError(f"kernel {kernel.name} does not compile on {device}:\n{error}") from error
    return len(kernels)


@cache
def _parameters(kernel: Kernel) -> tuple[tuple[Arg, Any], ...]:
    """Return the parameters, each with the type of its scalars: None for an array."""
    return tuple((a, None if a.is_array else DTYPES[a.type].type) for a in kernel.arguments)


@lru_cache(1024)
def _extents(sizes: tuple[int, ...]) -> tuple[np.int64, ...]:
    return tuple(map(np.int64, sizes))


@cache
def _function(kernel: Kernel, index: int, cupy: Any) -> Any:  # noqa: ARG001  (one module per GPU)
    return _module(kernel.source, cupy).get_function(kernel.name)


@cache
def _module(source: str, cupy: Any) -> Any:
    options = (*COMPILE_OPTIONS, f"-DQSMENGINE_SOURCES={int(sources_hash(), 16)}ull")
    return cupy.RawModule(code=inlined_source(source), options=options, backend="nvrtc")

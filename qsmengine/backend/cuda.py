"""The GPU host: kernels compiled at first use by NVRTC through CuPy's RawModule."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.kernel import DTYPES, Kernel
from qsmengine.backend.sources import inlined_source, sources_hash
from qsmengine.errors import DeviceError

BLOCK = (32, 8, 1)
MAX_BLOCKS = 8192

COMPILE_OPTIONS = ("--std=c++17",)
"""Options of every kernel; the build check compiles with the same."""


def call(kernel: Kernel, device: Device, values: Mapping[str, Any]) -> None:
    """Run `kernel` on CuPy arrays of `device`."""
    sizes = kernel.bind(values)
    blocks = max(1, min(MAX_BLOCKS, -(-kernel.work_items(sizes) // 256)))
    cupy = device.xp
    arguments: list[Any] = []
    for arg in kernel.arguments:
        value = values[arg.name]
        arguments.append(value if arg.is_array else DTYPES[arg.type].type(value))
    arguments += [np.int64(sizes[d]) for d in kernel.dims]
    with cupy.cuda.Device(device.index):
        try:
            _function(kernel, device.index, cupy)((blocks,), BLOCK, tuple(arguments))
        except cupy.cuda.compiler.CompileException as error:
            raise DeviceError(f"kernel {kernel.name} does not compile on {device}:\n{error}") from error


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
def _function(kernel: Kernel, index: int, cupy: Any) -> Any:  # noqa: ARG001  (one module per GPU)
    return _module(kernel.source, cupy).get_function(kernel.name)


@cache
def _module(source: str, cupy: Any) -> Any:
    options = (*COMPILE_OPTIONS, f"-DQSMENGINE_SOURCES={int(sources_hash(), 16)}ull")
    return cupy.RawModule(code=inlined_source(source), options=options, backend="nvrtc")

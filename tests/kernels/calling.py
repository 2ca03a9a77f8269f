"""Calling a kernel of a test build directly, with plain NumPy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from qsmengine.backend.kernel import Kernel

_SCALARS = {"f32": ctypes.c_float, "f64": ctypes.c_double, "i32": ctypes.c_int, "i64": ctypes.c_longlong}


def call(
    library: ctypes.CDLL, kernel: Kernel, values: Mapping[str, Any], tasks: int = 3, threads: int = 1
) -> None:
    bound = kernel.bind(values)
    types: list[Any] = [ctypes.c_longlong, ctypes.c_int]
    arguments: list[Any] = [tasks, threads]
    for arg in kernel.arguments:
        types.append(ctypes.c_void_p if arg.is_array else _SCALARS[arg.type])
        arguments.append(values[arg.name].ctypes.data if arg.is_array else values[arg.name])
    function = getattr(library, kernel.name)
    function.argtypes, function.restype = types + [ctypes.c_longlong] * len(kernel.dims), None
    function(*arguments, *bound.extents)

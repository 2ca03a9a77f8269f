"""``cupy.RawModule``: kernels of the project, checked against their C parameters and run on the CPU."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from standin.operands import here, is_array
from standin.runtime import CUDARuntimeError
from standin.streams import queue

_TYPES = {
    "float": np.float32, "double": np.float64, "Complex": np.complex64, "u8": np.uint8, "int": np.int32,
    "Index": np.int64, "unsigned": np.uint32,
}  # fmt: skip
_OPTION = re.compile(r"(-D\w+(=.+)?|--?std=c\+\+(11|14|17|20)|-lineinfo|--use_fast_math|--?fmad=(true|false))")
_TASKS = 64
_VARIANT = os.environ.get("GPU_STANDIN_VARIANT", "")
"""Variant of the CPU library whose kernels play the GPU's. Another variant rounds otherwise, as a GPU does."""
_THREADS = int(os.environ.get("GPU_STANDIN_THREADS", "2"))


class CompileException(Exception):
    """``cupy.cuda.compiler.CompileException``."""


CompileException.__module__ = "cupy.cuda.compiler"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel."""

    text: str
    dtype: np.dtype
    pointer: bool


class RawModule:
    """A source that NVRTC would compile."""

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Sequence[str] | None = None,
        jitify: bool = False,
    ) -> None:
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if backend not in {"nvrtc", "nvcc"}:
            raise ValueError(f'Unknown backend "{backend}"')
        if not isinstance(options, tuple | list) or not all(isinstance(o, str) for o in options):
            raise TypeError("`options` must be a sequence of strings")
        for option in options:
            if _OPTION.fullmatch(option) is None:
                raise CompileException(f"nvrtc: error: unrecognized option {option}")
        left = re.search(r'^\s*#\s*include\s+".*$', code or "", re.MULTILINE)
        if left is not None:
            raise CompileException(f"catastrophic error: cannot open source file: {left[0].strip()}")
        self.code, self.options, self.backend = code or "", tuple(options), backend

    def compile(self, log_stream: Any = None) -> None:
        """Nothing to do: the CPU library is compiled."""

    def get_function(self, name: str) -> RawKernel:
        """The kernel of this name."""
        return RawKernel._of(name, _parameters(self.code, name), _threads(self.code))


class RawKernel:
    """A kernel that can be launched."""

    name: str
    _parameters: tuple[Parameter, ...]
    _threads: int

    def __init__(self, code: str, name: str, options: Sequence[str] = (), **kwargs: Any) -> None:
        module = RawModule(code=code, options=options, **kwargs)
        self.name, self._threads = name, _threads(module.code)
        self._parameters = module.get_function(name)._parameters

    @classmethod
    def _of(cls, name: str, parameters: tuple[Parameter, ...], threads: int) -> RawKernel:
        kernel = cls.__new__(cls)
        kernel.name, kernel._parameters, kernel._threads = name, parameters, threads
        return kernel

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
        stream: Any = None,
        enable_cooperative_groups: bool = False,
    ) -> None:
        _check_shape(grid, block, self._threads)
        if not isinstance(args, tuple):
            raise TypeError("arguments of a kernel must be a tuple")
        if len(args) != len(self._parameters):
            raise TypeError(f"{self.name}: {len(args)} arguments for {len(self._parameters)} parameters")
        values = [_checked(self.name, p, a) for p, a in zip(self._parameters, args, strict=True)]
        arrays = [v for v in values if isinstance(v, np.ndarray)]
        pointers = [v.ctypes.data if isinstance(v, np.ndarray) else v for v in values]
        function = _function(self.name, self._parameters)

        def action() -> None:
            assert arrays is not None
            function(min(grid[0], _TASKS), _THREADS, *pointers)

        queue("kernel", self.name, sum(a.nbytes for a in arrays), action)


def _threads(code: str) -> int:
    """Threads of a block for which a source is written: the first definition holds."""
    return int(re.search(r"^#define TILE_THREADS (\d+)", code, re.MULTILINE)[1])


def _check_shape(grid: tuple[int, ...], block: tuple[int, ...], threads: int) -> None:
    grid, block = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
    limits = (2**31 - 1, 65535, 65535)
    if not all(
        isinstance(n, int | np.integer) and 1 <= n <= most for n, most in zip(grid, limits, strict=True)
    ):
        raise CUDARuntimeError(9)
    if block != (32, threads // 32, 1):
        raise AssertionError(f"the kernel is written for blocks of 32 x {threads // 32} threads, not {block}")


def _checked(name: str, parameter: Parameter, value: Any) -> Any:
    where = f"{name}, parameter `{parameter.text}`"
    if not parameter.pointer:
        if type(value) is not parameter.dtype.type:
            raise TypeError(f"{where}: got {type(value)}")
        return value.item()
    if not is_array(value):
        raise TypeError(f"{where}: Unsupported type {type(value)}")
    array = here(value)
    same = array.dtype == parameter.dtype or (array.dtype == np.bool_ and parameter.dtype == np.uint8)
    if not same or not array.flags.c_contiguous:
        raise TypeError(f"{where}: got {array.dtype}, C-contiguous: {array.flags.c_contiguous}")
    return array


def _parameters(code: str, name: str) -> tuple[Parameter, ...]:
    match = re.search(rf"^KERNEL\(\s*{re.escape(name)}\s*,\s*\(([^)]*)\)", code, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found ({name})")
    return tuple(_parameter(" ".join(part.split())) for part in match[1].split(","))


def _parameter(text: str) -> Parameter:
    kind = text.removeprefix("const ").split(" ")[0].rstrip("*")
    return Parameter(text, np.dtype(_TYPES[kind]), "*" in text)


@cache
def _library() -> ctypes.CDLL:
    from qsmengine.backend.cpu import load_library
    from qsmengine.backend.sources import library_candidates

    if not _VARIANT:
        return load_library()[0]
    return ctypes.CDLL(str(next(path for path in library_candidates(_VARIANT) if path.is_file())))


@cache
def _function(name: str, parameters: tuple[Parameter, ...]) -> Any:
    function = getattr(_library(), name)
    types = [ctypes.c_void_p if p.pointer else np.ctypeslib.as_ctypes_type(p.dtype) for p in parameters]
    function.argtypes, function.restype = [ctypes.c_longlong, ctypes.c_int, *types], None
    return function

"""Where an array lives and runs. The array carries its device; there is no current or default device."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from qsmengine.backend.toolkit import import_cupy, launch_problem, toolkit_problem
from qsmengine.data import Array
from qsmengine.errors import DeviceError, UsageError

P = ParamSpec("P")
R = TypeVar("R")

ALIGNMENT = 64
"""Bytes to which CPU buffers are aligned: a cache line, and what the FFT plans are made for."""


@dataclass(frozen=True)
class Device:
    """A processor that runs the engine.

    Parameters
    ----------
    kind
        ``"cpu"`` or ``"cuda"``.
    index
        Number of the GPU.
    threads
        CPU threads for kernels and FFTs.
    note
        Why this is not the GPU that would have been taken; "" otherwise.
    """

    kind: Literal["cpu", "cuda"]
    index: int = 0
    threads: int = 1
    note: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"

    @property
    def xp(self) -> Any:
        """The array module of the device: numpy or cupy."""
        if self.kind == "cpu":
            return np
        return import_cupy()

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Array:
        """Uninitialised C-contiguous array on the device, aligned for kernels and FFTs."""
        if self.kind == "cpu":
            return _aligned_empty(shape, np.dtype(dtype))
        with self.current():
            array: Array = self.xp.empty(shape, dtype)
        return array

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Array:
        """Like :meth:`empty`, filled with zeros."""
        array = self.empty(shape, dtype)
        array[...] = 0
        return array

    def asarray(self, array: Array, dtype: npt.DTypeLike = np.float32, *, aligned: bool = True) -> Array:
        """`array` on the device, C-contiguous, in `dtype`; copies only where something must change.

        A CPU array that does not start at a multiple of 64 bytes, which FFT plans need, is copied too. With
        ``aligned=False`` a multiple of its element size is enough, as it is for kernels.
        """
        dtype = np.dtype(dtype)
        if self.kind == "cpu":
            host = to_numpy(array)
            placed = host.ctypes.data % (ALIGNMENT if aligned else dtype.itemsize) == 0
            if host.dtype == dtype and host.flags.c_contiguous and placed:
                return host
            copy = self.empty(host.shape, dtype)
            np.copyto(copy, host, casting="unsafe")
            return copy
        with self.current():
            moved: Array = self.xp.ascontiguousarray(self.xp.asarray(array), dtype=dtype)
        return moved

    def synchronize(self) -> None:
        """Wait until everything queued on the device is done."""
        if self.kind == "cuda":
            with self.current():
                self.xp.cuda.get_current_stream().synchronize()

    def current(self) -> Any:
        """Context in which this GPU is the thread's current one, on which CuPy computes; empty on the CPU."""
        return contextlib.nullcontext() if self.kind == "cpu" else self.xp.cuda.Device(self.index)


def on_device(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that its argument `device` is the current device while it runs."""
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        device: Device = signature.bind(*args, **kwargs).arguments["device"]
        with device.current():
            return function(*args, **kwargs)

    return call


def cpu(threads: int | None = None) -> Device:
    """The CPU with `threads` threads (default: the processors this process may use)."""
    if threads is not None and threads < 1:
        raise UsageError(f"--threads must be at least 1, got {threads}")
    return Device("cpu", 0, threads or available_threads())


def resolve_device(spec: str | Device = "auto", threads: int | None = None, *, launch: bool = True) -> Device:
    """Device named by ``auto``, ``cpu``, ``cuda`` or ``cuda:i``; ``auto`` takes the GPU where one is usable.

    A GPU is usable where CuPy finds CUDA's compiler and libraries and a kernel compiles and runs. Where
    ``auto`` finds a GPU that is not, it takes the CPU, and the device's `note` gives the reason. The check is
    made once per process and GPU. With ``launch=False`` no kernel runs and no CUDA context is made, for a
    process that leaves the computing to others.

    Raises
    ------
    UsageError
        For a name that is none of these.
    DeviceError
        For a GPU that is asked for and not usable, with the reason.
    """
    if isinstance(spec, Device):
        return spec
    host = cpu(threads)
    if spec == "cpu":
        return host
    name, _, number = spec.partition(":")
    if spec != "auto" and (name != "cuda" or not (number == "" or number.isdigit())):
        raise UsageError(f"unknown device {spec!r}: use auto, cpu, cuda or cuda:N")
    index, (found, reason) = int(number or 0), _found_gpus()
    if index < found:
        reason = toolkit_problem() or (launch_problem(index) if launch else "")
    elif found:
        reason = f"this machine has {found} (cuda:0..cuda:{found - 1})"
    if index < found and not reason:
        return Device("cuda", index, host.threads)
    if spec == "auto":
        return replace(host, note=f"cuda:0 is not used: {reason}") if found else host
    raise DeviceError(f"device {spec} is not usable: {reason}")


def device_of(array: Array, threads: int | None = None) -> Device:
    """The device an array lives on."""
    if isinstance(array, np.ndarray):
        return cpu(threads)
    return Device("cuda", int(array.device.id), available_threads())


def array_module(array: Array) -> Any:
    """The module (numpy or cupy) that owns `array`."""
    return np if isinstance(array, np.ndarray) else import_cupy()


def to_numpy(array: Array) -> npt.NDArray[Any]:
    """`array` in host memory."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "get"):
        host: npt.NDArray[Any] = array.get()
        return host
    return np.asarray(array)


def available_threads() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cuda_devices() -> tuple[int, str]:
    """Number of GPUs that CUDA and CuPy can use, and why there is none where that is so.

    Nothing runs on a GPU for this (see :func:`resolve_device`).
    """
    count, reason = _found_gpus()
    problem = toolkit_problem() if count else reason
    return (0, problem) if problem else (count, "")


def _found_gpus() -> tuple[int, str]:
    """Number of GPUs that the driver reports, and why there is none."""
    try:
        cupy = import_cupy()
    except DeviceError as error:
        return 0, str(error)
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return 0, f"CUDA reports: {error}"
    return count, "" if count else "CUDA finds no GPU"


def _aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    aligned: Array = raw[start : start + size].view(dtype).reshape(shape)
    return aligned

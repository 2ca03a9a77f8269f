"""Devices of arrays and computations. An array carries its device; there is no current or default device."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable
from dataclasses import field, replace
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from qsmengine import memory_order
from qsmengine.backend.toolkit import import_cupy, launch_problem, toolkit_problem
from qsmengine.data import Array
from qsmengine.errors import DeviceError, UsageError
from qsmengine.records import record

P = ParamSpec("P")
R = TypeVar("R")

ALIGNMENT = 64
"""Alignment of CPU buffers in bytes: a cache line."""


@record
class Device:
    """Processor that runs the engine.

    Parameters
    ----------
    kind
        ``"cpu"`` or ``"cuda"``.
    index
        Number of the GPU.
    threads
        CPU threads for kernels and FFTs.
    note
        Reason why the preferred GPU was not chosen; "" otherwise.
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
        """Return an uninitialised C-contiguous array on the device, aligned for kernels."""
        if self.kind == "cpu":
            return _aligned(np.empty, shape, np.dtype(dtype))
        with self.current():
            array: Array = self.xp.empty(shape, dtype)
        return array

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Array:
        """Return an array like :meth:`empty`, filled with zeros."""
        if self.kind == "cpu":  # pages new from the system are zero, cleared by the thread that first uses them
            return _aligned(np.zeros, shape, np.dtype(dtype))
        with self.current():
            array = self.empty(shape, dtype)
            array[...] = 0
        return array

    def asarray(self, array: Array, dtype: npt.DTypeLike = np.float32) -> Array:
        """Return `array` on the device, C-contiguous, in `dtype`; copy only if something must change.

        A CPU array that does not start at a multiple of its element size, which kernels need, is also copied.
        """
        dtype = np.dtype(dtype)
        if self.kind == "cpu":
            host = to_numpy(array)
            placed = host.ctypes.data % dtype.itemsize == 0
            if host.dtype == dtype and host.flags.c_contiguous and placed:
                return host
            copy = self.empty(host.shape, dtype)
            memory_order.copy(copy, host)
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
        """Return a context in which this GPU is CuPy's current device in the thread; empty on the CPU."""
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
    """Return the CPU with `threads` threads (default: the processors that this process may use)."""
    if threads is not None and threads < 1:
        raise UsageError(f"--threads must be at least 1, got {threads}")
    return Device("cpu", 0, threads or available_threads())


def resolve_device(spec: str | Device = "auto", threads: int | None = None, *, launch: bool = True) -> Device:
    """Return the device named by ``auto``, ``cpu``, ``cuda`` or ``cuda:i``; ``auto`` prefers a usable GPU.

    A GPU is usable if CuPy finds CUDA's compiler and libraries and a kernel compiles and runs. If ``auto``
    finds an unusable GPU it returns the CPU, and the device's `note` gives the reason. The check is made once
    per process and GPU. With ``launch=False`` no kernel runs and no CUDA context is created, for a process that
    delegates the computation.

    Raises
    ------
    UsageError
        For any other name.
    DeviceError
        If the requested GPU is not usable, with the reason.
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
    """Return the device of an array."""
    if isinstance(array, np.ndarray):
        return cpu(threads)
    return Device("cuda", int(array.device.id), available_threads())


def array_module(array: Array) -> Any:
    """Return the module (numpy or cupy) of `array`."""
    return np if isinstance(array, np.ndarray) else import_cupy()


def to_numpy(array: Array) -> npt.NDArray[Any]:
    """Return `array` in host memory."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "get"):
        host: npt.NDArray[Any] = array.get()
        return host
    return np.asarray(array)


def available_threads() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cuda_devices() -> tuple[int, str]:
    """Return the number of GPUs that CUDA and CuPy can use, and the reason if there is none.

    The check runs nothing on a GPU (see :func:`resolve_device`).
    """
    count, reason = _found_gpus()
    problem = toolkit_problem() if count else reason
    return (0, problem) if problem else (count, "")


def _found_gpus() -> tuple[int, str]:
    """Return the number of GPUs that the driver reports, and the reason if there is none."""
    try:
        cupy = import_cupy()
    except DeviceError as error:
        return 0, str(error)
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return 0, f"CUDA reports: {error}"
    return count, "" if count else "CUDA finds no GPU"


def _aligned(make: Callable[..., Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array made by np.empty or np.zeros whose data start at a multiple of `ALIGNMENT` bytes."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = make(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    aligned: Array = raw[start : start + size].view(dtype).reshape(shape)
    return aligned

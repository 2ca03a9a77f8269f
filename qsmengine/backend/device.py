"""Where an array lives and runs. The array carries its device; there is no current or default device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array
from qsmengine.errors import DeviceError, UsageError

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
    """

    kind: Literal["cpu", "cuda"]
    index: int = 0
    threads: int = 1

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"

    @property
    def xp(self) -> Any:
        """The array module of the device: numpy or cupy."""
        if self.kind == "cpu":
            return np
        return _cupy()

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Array:
        """Uninitialised C-contiguous array on the device, aligned for kernels and FFTs."""
        if self.kind == "cpu":
            return _aligned_empty(shape, np.dtype(dtype))
        with self._active():
            array: Array = self.xp.empty(shape, dtype)
        return array

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Array:
        """Like :meth:`empty`, filled with zeros."""
        array = self.empty(shape, dtype)
        array[...] = 0
        return array

    def asarray(self, array: Array, dtype: npt.DTypeLike = np.float32, *, aligned: bool = True) -> Array:
        """`array` on the device, C-contiguous, in `dtype`; copies only where something must change.

        CPU arrays are copied to aligned memory too, which FFT plans need; kernels do not, and with
        ``aligned=False`` a large input is used where it lies.
        """
        dtype = np.dtype(dtype)
        if self.kind == "cpu":
            host = to_numpy(array)
            placed = not aligned or host.ctypes.data % ALIGNMENT == 0
            if host.dtype == dtype and host.flags.c_contiguous and placed:
                return host
            copy = self.empty(host.shape, dtype)
            np.copyto(copy, host, casting="unsafe")
            return copy
        with self._active():
            moved: Array = self.xp.ascontiguousarray(self.xp.asarray(array), dtype=dtype)
        return moved

    def synchronize(self) -> None:
        """Wait until everything queued on the device is done."""
        if self.kind == "cuda":
            with self._active():
                self.xp.cuda.get_current_stream().synchronize()

    def _active(self) -> Any:
        return self.xp.cuda.Device(self.index)


def cpu(threads: int | None = None) -> Device:
    """The CPU with `threads` threads (default: the processors this process may use)."""
    if threads is not None and threads < 1:
        raise UsageError(f"--threads must be at least 1, got {threads}")
    return Device("cpu", 0, threads or available_threads())


def resolve_device(spec: str | Device = "auto", threads: int | None = None) -> Device:
    """Device named by ``auto``, ``cpu``, ``cuda`` or ``cuda:i``; ``auto`` takes the GPU where one is usable.

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
    count, reason = cuda_devices()
    if spec == "auto":
        return host if count == 0 else Device("cuda", 0, host.threads)
    index = int(number or 0)
    if index >= count:
        detail = reason or f"this machine has {count} (cuda:0..cuda:{count - 1})"
        raise DeviceError(f"device {spec} is not usable: {detail}")
    return Device("cuda", index, host.threads)


def device_of(array: Array, threads: int | None = None) -> Device:
    """The device an array lives on."""
    if isinstance(array, np.ndarray):
        return cpu(threads)
    return Device("cuda", int(array.device.id), available_threads())


def array_module(array: Array) -> Any:
    """The module (numpy or cupy) that owns `array`."""
    return np if isinstance(array, np.ndarray) else _cupy()


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
    """Number of usable GPUs, and why there is none where that is so."""
    try:
        cupy = _cupy()
    except DeviceError as error:
        return 0, str(error)
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return 0, f"CUDA reports: {error}"
    return count, "" if count else "CUDA finds no GPU"


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        message = f"CuPy cannot be imported ({error}); install qsmengine[cuda12] or qsmengine[cuda13]"
        raise DeviceError(message) from None
    return cupy


def _aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    aligned: Array = raw[start : start + size].view(dtype).reshape(shape)
    return aligned

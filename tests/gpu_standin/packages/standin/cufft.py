"""``cupy.cuda.cufft``: plans with a work area, executed into given arrays.

A plan computes with SciPy. It refuses arrays that cuFFT would read or write beyond their end or take for
another type, and like cuFFT it destroys the input of a complex-to-real transform. Its work area has the bytes
of the complex data of one transform: an estimate for sizes without large prime factors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import scipy.fft

from standin import devices
from standin.allocators import alloc
from standin.memory import MemoryPointer
from standin.operands import here
from standin.streams import queue, refuse_capture

CUFFT_C2C, CUFFT_R2C, CUFFT_C2R = 0x29, 0x2A, 0x2C
CUFFT_Z2Z, CUFFT_D2Z, CUFFT_Z2D = 0x69, 0x6A, 0x6C
CUFFT_FORWARD, CUFFT_INVERSE = -1, 1

_DTYPES = {
    CUFFT_C2C: ("F", "F"), CUFFT_R2C: ("f", "F"), CUFFT_C2R: ("F", "f"),
    CUFFT_Z2Z: ("D", "D"), CUFFT_D2Z: ("d", "D"), CUFFT_Z2D: ("D", "d"),
}  # fmt: skip
_RESULTS = {2: "CUFFT_ALLOC_FAILED", 4: "CUFFT_INVALID_VALUE", 8: "CUFFT_INVALID_SIZE"}
_THREAD = threading.local()


class CuFFTError(RuntimeError):
    """An error that cuFFT reports."""

    def __init__(self, result: int) -> None:
        self.result = result
        super().__init__(_RESULTS[result])

    def __reduce__(self) -> tuple[type[CuFFTError], tuple[int]]:
        return type(self), (self.result,)


CuFFTError.__module__ = "cupy.cuda.cufft"


def get_current_plan() -> Any:
    """The plan that is used as a context manager in this thread."""
    return getattr(_THREAD, "plan", None)


class _Plan:
    """What one- and many-dimensional plans share."""

    fft_type: int
    batch: int
    work_area: MemoryPointer | None
    gpus = None

    def _reserve(self, fft_type: int, shape: Sequence[int], batch: int) -> None:
        """Check the plan and take its work area."""
        refuse_capture()
        if fft_type not in _DTYPES or batch < 0 or not 1 <= len(shape) <= 3:
            raise CuFFTError(4)
        if any(n < 1 for n in shape):
            raise CuFFTError(8)
        half = fft_type not in {CUFFT_C2C, CUFFT_Z2Z}
        last = shape[-1] // 2 + 1 if half else shape[-1]
        itemsize = 8 if fft_type in {CUFFT_C2C, CUFFT_R2C, CUFFT_C2R} else 16
        self.fft_type, self.batch, self._last, self._half = fft_type, batch, last, half
        self._device = devices.current()
        self.work_area = alloc(prod(shape[:-1]) * last * itemsize if batch else 0)

    def __enter__(self) -> _Plan:
        _THREAD.plan = self
        return self

    def __exit__(self, *exception: object) -> None:
        _THREAD.plan = None

    def _execute(
        self, a: Any, out: Any, direction: int, shape: tuple[int, ...], layouts: Sequence[tuple[int, ...]]
    ) -> None:
        if self._device != devices.current():
            raise CuFFTError(4)
        wanted = _DTYPES[self.fft_type]
        source, target = here(a), here(out)
        if (source.dtype.char, target.dtype.char) != wanted:
            raise TypeError(f"the plan is for {wanted[0]}->{wanted[1]}, not {source.dtype}->{target.dtype}")
        real_first = self.fft_type in {CUFFT_R2C, CUFFT_D2Z}
        complex_shape = (*shape[:-1], self._last)
        sizes = (shape, complex_shape) if real_first else (complex_shape, shape)
        if not self._half:
            sizes = (shape, shape)
        read = _view(source, self.batch, sizes[0], layouts[0])
        write = _view(target, self.batch, sizes[1], layouts[1])
        transform = _transform(self.fft_type, direction, shape)
        destroys = self.fft_type in {CUFFT_C2R, CUFFT_Z2D} and not np.may_share_memory(read, write)

        def action() -> None:
            write[...] = transform(read)
            if destroys:
                read[...] = np.nan

        queue("fft", f"{wanted[0]}2{wanted[1]}".upper(), source.nbytes + target.nbytes, action)


class PlanNd(_Plan):
    """A plan for one to three axes."""

    def __init__(
        self, shape: Sequence[int], inembed: Sequence[int] | None, istride: int, idist: int,
        onembed: Sequence[int] | None, ostride: int, odist: int, fft_type: int, batch: int, order: str,
        last_axis: int, last_size: int | None, *, prealloc_plan: int = 0,
    ) -> None:  # fmt: skip
        self.shape, self.order, self.last_axis, self.last_size = tuple(shape), order, last_axis, last_size
        self._reserve(fft_type, self.shape, batch)
        self._layouts = [(inembed, istride, idist), (onembed, ostride, odist)]

    def fft(self, a: Any, out: Any, direction: int) -> None:
        """Transform `a` into `out`, without a factor."""
        self._execute(a, out, direction, self.shape, self._layouts)

    def get_output_array(self, a: Any, order: str = "C") -> Any:
        """An array for the result."""
        from cupy import empty

        shape = list(a.shape)
        if self._half:
            shape[self.last_axis] = self.last_size
        return empty(tuple(shape), _DTYPES[self.fft_type][1], order=order)

    def check_output_array(self, a: Any, out: Any) -> None:
        """Refuse an array that cannot take the result."""
        if out is a:
            return
        shape = list(a.shape)
        if self._half:
            shape[self.last_axis] = self.last_size
        if out.shape != tuple(shape):
            raise ValueError("output shape is incorrecct")
        if out.dtype.char != _DTYPES[self.fft_type][1]:
            raise ValueError("output dtype is unexpected")
        if (out.flags.c_contiguous, out.flags.f_contiguous) != (a.flags.c_contiguous, a.flags.f_contiguous):
            raise ValueError("output contiguity mismatch")


class Plan1d(_Plan):
    """A plan for rows."""

    def __init__(
        self,
        nx: int,
        fft_type: int,
        batch: int,
        *,
        devices: Any = None,
        out: Any = None,
        prealloc_plan: int = 0,
    ) -> None:
        if devices is not None:
            raise NotImplementedError("the stand-in has no transforms over several GPUs")
        self.nx = nx
        self._reserve(fft_type, (nx,), batch)

    def fft(self, a: Any, out: Any, direction: int) -> None:
        """Transform the rows of `a` into `out`, without a factor."""
        half = self.nx // 2 + 1
        real = self.fft_type in {CUFFT_R2C, CUFFT_D2Z}
        first, second = ((self.nx, half) if real else (half, self.nx)) if self._half else (self.nx, self.nx)
        self._execute(a, out, direction, (self.nx,), [(None, 1, first), (None, 1, second)])


def _view(array: np.ndarray, batch: int, shape: tuple[int, ...], layout: Any) -> np.ndarray:
    """The numbers that cuFFT reads or writes, as (batch, *shape)."""
    embed, stride, distance = layout
    embed = shape if embed is None else tuple(embed)
    if len(embed) != len(shape) or any(e < n for e, n in zip(embed[1:], shape[1:], strict=True)):
        raise CuFFTError(4)
    steps = [stride * prod(embed[k + 1 :]) for k in range(len(shape))]
    last = (batch - 1) * distance + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        raise ValueError("a transform needs contiguous arrays")
    if last >= array.size:
        raise AssertionError(f"the plan reaches element {last} of an array of {array.size}")
    strides = [s * array.itemsize for s in (distance, *steps)]
    return np.lib.stride_tricks.as_strided(array, (batch, *shape), strides)


def _transform(fft_type: int, direction: int, shape: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    axes = tuple(range(1, len(shape) + 1))
    if fft_type in {CUFFT_R2C, CUFFT_D2Z}:
        if direction != CUFFT_FORWARD:
            raise CuFFTError(4)
        return lambda x: scipy.fft.rfftn(x, axes=axes)
    if fft_type in {CUFFT_C2R, CUFFT_Z2D}:
        if direction != CUFFT_INVERSE:
            raise CuFFTError(4)
        return lambda x: scipy.fft.irfftn(x, s=shape, axes=axes, norm="forward")
    if direction == CUFFT_FORWARD:
        return lambda x: scipy.fft.fftn(x, axes=axes)
    return lambda x: scipy.fft.ifftn(x, axes=axes, norm="forward")

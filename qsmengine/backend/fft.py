"""Three-dimensional real FFTs with one interface for CPU and GPU, planned once and reused.

The spectrum of a real (nx, ny, nz) array is complex64 (nx, ny, nz // 2 + 1). A GPU uses cuFFT, the CPU the
transforms of :mod:`qsmengine.backend.fft_cpu`. The same input always gives identical results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import permutations, product
from typing import Any, Protocol

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft_cpu import OwnFft, cpu_engine, radices_of
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.launch import launch
from qsmengine.data import Array
from qsmengine.errors import InputError, OutOfMemoryError

_CUFFT_ALLOC_FAILED = 2


class _Engine(Protocol):
    def forward(self, x: Array, out: Array) -> None: ...

    def inverse(self, spectrum: Array, out: Array) -> None: ...


class RealFFT:
    """Plan for real transforms of one shape on one device.

    Parameters
    ----------
    shape
        (nx, ny, nz) of the real array.
    device
        Device of the arrays.
    """

    def __init__(self, shape: tuple[int, int, int], device: Device) -> None:
        self.shape = shape
        self.spectrum_shape = (shape[0], shape[1], shape[2] // 2 + 1)
        self.device = device
        self.scale = 1.0 / float(np.prod(shape, dtype=np.float64))
        self._engine = make_engine(shape, self.spectrum_shape, device)

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Return the unscaled transform of a real float32 array; `x` is unchanged."""
        x = self._checked(x, self.shape, np.float32)
        if out is None:
            out = self.device.empty(self.spectrum_shape, np.complex64)
        _check_output(out, self.spectrum_shape, np.complex64)
        self._engine.forward(x, out)
        return out

    def inverse(self, spectrum: Array, out: Array | None = None, *, scaled: bool = True) -> Array:
        """Return the inverse transform of a complex64 half spectrum, whose content is overwritten.

        With ``scaled=False`` the caller applies the factor 1 / (nx ny nz) (:attr:`scale`), for example in
        a filter, which saves a pass.
        """
        spectrum = self._checked(spectrum, self.spectrum_shape, np.complex64)
        if out is None:
            out = self.device.empty(self.shape, np.float32)
        _check_output(out, self.shape, np.float32)
        self._engine.inverse(spectrum, out)
        if scaled:
            out *= np.float32(self.scale)
        return out

    def filter(self, x: Array, response: Array) -> Array:
        """Return the convolution of real `x` with the kernel whose half spectrum is `response`."""
        if isinstance(self._engine, OwnFft) and response.dtype == np.float32:
            x, out = self._checked(x, self.shape, np.float32), self.device.empty(self.shape)
            response = self._checked(response, self.spectrum_shape, np.float32)
            spectrum = self.device.empty(self.spectrum_shape, np.complex64)
            self._engine.filter(x, response, spectrum, out, self.scale)
            return out
        spectrum = self.forward(x)
        spectrum *= response
        return self.inverse(spectrum)

    def through(self, kernel: Kernel, images: Mapping[str, tuple[Array, Array, Array]], **values: Any) -> None:
        """Transform images, run `kernel` on their spectra, and transform these back, unscaled.

        Parameters
        ----------
        kernel
            Takes the spectra in place, by the names of `images`.
        images
            Name -> image, float32 of `shape`; its spectrum, complex64; and the result, float32, which may be
            the image. All are C-contiguous on the device.
        values
            Further arguments of the kernel.
        """
        if isinstance(self._engine, OwnFft) and self._engine.through(kernel, images, values):
            return
        for image, spectrum, _ in images.values():
            self.forward(image, spectrum)
        launch(kernel, self.device, **{name: three[1] for name, three in images.items()}, **values)
        for _, spectrum, result in images.values():
            self.inverse(spectrum, result, scaled=False)

    def mean(self, response: Array) -> float:
        """Return the mean over the whole spectrum of a real response that is stored as half spectrum."""
        counts = np.full(self.spectrum_shape[2], 2.0)
        counts[0] = 1.0
        if self.shape[2] % 2 == 0:
            counts[-1] = 1.0
        weighted = (response * self.device.xp.asarray(counts)).sum(dtype=np.float64)
        return float(weighted) * self.scale

    def _checked(self, array: Array, shape: tuple[int, ...], dtype: type) -> Array:
        if tuple(array.shape) != shape:
            raise InputError(f"FFT planned for {shape} got an array of shape {tuple(array.shape)}")
        return array if self._is_ready(array, dtype) else self.device.asarray(array, dtype)

    def _is_ready(self, array: Array, dtype: type) -> bool:
        """Return True if an array on a GPU can be transformed without a copy."""
        if isinstance(array, np.ndarray):
            return False
        here: bool = array.device.id == self.device.index
        return here and array.dtype == dtype and array.flags.c_contiguous


def _check_output(out: Array, shape: tuple[int, ...], dtype: type) -> None:
    if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
        raise InputError(
            f"FFT writes {np.dtype(dtype)} of shape {shape}, C-contiguous; "
            f"the output is {out.dtype} of shape {tuple(out.shape)}"
        )


def fast_size(n: int) -> int:
    """Return the smallest even m >= n without prime factors above 7, for which every FFT library is fast."""
    m = max(n, 2)
    m += m % 2
    while radices_of(m) is None:
        m += 2
    return m


def fast_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the smallest grid that contains `shape` and is fast to transform on every axis.

    In addition to fast sizes, planes of the spectrum must not be a multiple of 1024 bytes apart: the pass
    along x would then use only a few sets of the cache. The rule applies to every order of the axes, so a
    permuted image gets the permuted grid.
    """
    options = [_next_fast(n, 4) for n in shape]
    good = [
        (x, y, z)
        for x, y, z in product(*options)
        if all(rows * (length // 2 + 1) % 128 for rows, length in permutations((x, y, z), 2))
    ]
    return min(good, key=lambda sizes: (math.prod(sizes), sum(sizes)))


def fft_library(device: Device) -> str:
    """Return the name of the FFT library for `device`: ``cufft``, or ``qsmengine`` on the CPU."""
    return "cufft" if device.kind == "cuda" else "qsmengine"


def _next_fast(n: int, count: int) -> list[int]:
    sizes = [fast_size(n)]
    while len(sizes) < count:
        sizes.append(fast_size(sizes[-1] + 2))
    return sizes


def make_engine(shape: tuple[int, int, int], spectrum_shape: tuple[int, int, int], device: Device) -> _Engine:
    """Plan transforms with the library of `device`."""
    if device.kind == "cuda":
        return _Cufft(shape, spectrum_shape, device)
    return cpu_engine(shape, device.threads)


class _Cufft:
    """Plans of both directions, which share one work area from CuPy's pool and own it.

    They write directly into the output. Both run on the stream that is current at the call; because of the
    shared work area they must not run on two streams at the same time.
    """

    def __init__(
        self, shape: tuple[int, int, int], spectrum_shape: tuple[int, int, int], device: Device
    ) -> None:
        cupy = device.xp
        from cupy.cuda import cufft

        self._device, self._directions = device, (cufft.CUFFT_FORWARD, cufft.CUFFT_INVERSE)
        with cupy.cuda.Device(device.index):
            try:
                self._forward = cufft.PlanNd(
                    shape, shape, 1, 1, spectrum_shape, 1, 1, cufft.CUFFT_R2C, 1, "C", 2, spectrum_shape[2]
                )
                with cupy.cuda.using_allocator(_lending(self._forward.work_area, cupy.cuda.get_allocator())):
                    self._inverse = cufft.PlanNd(
                        shape, spectrum_shape, 1, 1, shape, 1, 1, cufft.CUFFT_C2R, 1, "C", 2, shape[2]
                    )
            except cufft.CuFFTError as error:
                if error.result != _CUFFT_ALLOC_FAILED:
                    raise
                raise OutOfMemoryError(f"out of memory for an FFT of {shape} on {device}") from error

    def forward(self, x: Array, out: Array) -> None:
        x = x if _is_aligned(x) else x.copy()
        with self._device.xp.cuda.Device(self._device.index):
            self._forward.fft(x, out, self._directions[0])

    def inverse(self, spectrum: Array, out: Array) -> None:
        with self._device.xp.cuda.Device(self._device.index):
            target = out if _is_aligned(out) else out.copy()
            self._inverse.fft(spectrum, target, self._directions[1])
            if target is not out:
                out[...] = target


def _lending(area: Any, alloc: Callable[[int], Any]) -> Callable[[int], Any]:
    """Allocator that returns `area` for every request that fits into it."""
    return lambda size: area if size <= area.mem.size else alloc(size)


def _is_aligned(real: Array) -> bool:
    """Return True if the real array is aligned as a complex one, which cuFFT requires."""
    memory: Any = real.data
    return int(memory.ptr) % np.dtype(np.complex64).itemsize == 0

"""Real FFTs on the CPU: kernels/fft.cpp for sizes without prime factors above 7, SciPy for the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qsmengine.backend.forking import usable_threads
from qsmengine.backend.host import hostcall
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.signatures.fft import FFT_FILTER, FFT_FORWARD, FFT_INVERSE, FFT_TV_HARMONIC
from qsmengine.backend.signatures.tv import TV_HARMONIC_KSPACE_STEP
from qsmengine.data import Array

RADICES = (4, 2, 3, 5, 7)
WITH_TRANSFORMS = {TV_HARMONIC_KSPACE_STEP.name: FFT_TV_HARMONIC}
"""Kernel on spectra -> host function that also transforms: its spectra have the kernel's names, the images and
results end in ``_image`` and ``_result``."""
_LEAST_PARALLEL = 32**3
"""Voxels below which waking other threads costs more than they gain."""


def radices_of(n: int) -> list[int] | None:
    """Return the radices whose product is `n`, or None if it has other prime factors."""
    found: list[int] = []
    for radix in RADICES:
        while n % radix == 0:
            found.append(radix)
            n //= radix
    return found if n == 1 else None


class OwnFft:
    """Transforms by the CPU library.

    Parameters
    ----------
    shape
        (nx, ny, nz), nz even.
    radices
        Radices of nx, ny and nz / 2.
    threads
        CPU threads.
    """

    def __init__(self, shape: tuple[int, int, int], radices: tuple[list[int], ...], threads: int) -> None:
        most = max(len(own) for own in radices) + 1
        table = np.array([own + [0] * (most - len(own)) for own in radices], np.int32)
        twiddles = np.concatenate([_twiddles(own) for own in radices])
        halves = _turn(np.arange(shape[2] // 2 + 1), shape[2])
        self._tables = {"radices": table, "twiddles": twiddles, "halves": halves}
        self._threads = threads if math.prod(shape) >= _LEAST_PARALLEL else 1

    def forward(self, x: Array, out: Array) -> None:
        """Write the spectrum of `x` into `out`."""
        hostcall(FFT_FORWARD, x=x, spectrum=out, threads=usable_threads(self._threads), **self._tables)

    def inverse(self, spectrum: Array, out: Array) -> None:
        """Write the unscaled inverse into `out`; overwrites `spectrum`."""
        hostcall(FFT_INVERSE, spectrum=spectrum, x=out, threads=usable_threads(self._threads), **self._tables)

    def filter(self, x: Array, response: Array, spectrum: Array, out: Array, scale: float) -> None:
        """Write `scale` times the unscaled convolution of `x` with the response, float32, into `out`."""
        hostcall(
            FFT_FILTER, x=x, response=response, spectrum=spectrum, out=out, scale=scale,
            threads=usable_threads(self._threads), **self._tables,
        )  # fmt: skip

    def through(
        self, kernel: Kernel, images: Mapping[str, tuple[Array, Array, Array]], values: Mapping[str, Any]
    ) -> bool:
        """Transform, run `kernel`, and transform back as one function, if there is one for this kernel."""
        function = WITH_TRANSFORMS.get(kernel.name)
        if function is None:
            return False
        arrays = {
            name + ending: array
            for name, three in images.items()
            for ending, array in zip(("_image", "", "_result"), three, strict=True)
        }
        hostcall(function, **arrays, **values, threads=usable_threads(self._threads), **self._tables)
        return True


class ScipyFft:
    """Transforms of any size by SciPy."""

    def __init__(self, shape: tuple[int, int, int], threads: int) -> None:
        self._shape, self._threads = shape, threads

    def forward(self, x: Array, out: Array) -> None:
        """Write the spectrum of `x` into `out`."""
        import scipy.fft

        out[...] = scipy.fft.rfftn(x, workers=self._threads)

    def inverse(self, spectrum: Array, out: Array) -> None:
        """Write the unscaled inverse into `out`; overwrites `spectrum`."""
        import scipy.fft

        out[...] = scipy.fft.irfftn(
            spectrum, s=self._shape, norm="forward", workers=self._threads, overwrite_x=True
        )


def cpu_engine(shape: tuple[int, int, int], threads: int) -> OwnFft | ScipyFft:
    """Plan transforms of `shape`."""
    nx, ny, nz = shape
    x, y, z = radices_of(nx), radices_of(ny), radices_of(nz // 2)
    if nz % 2 or x is None or y is None or z is None:
        return ScipyFft(shape, threads)
    return OwnFft(shape, (x, y, z), threads)


def _twiddles(radices: list[int]) -> Array:
    """Return the factors of every pass of a transform, as described in kernels/fft_lines.h."""
    left, passes = math.prod(radices), [np.ones(1, np.complex64)[:0]]
    for radix in radices:
        count = left // radix
        passes.append(_turn(np.multiply.outer(np.arange(1, radix), np.arange(1, count)), left).ravel())
        left = count
    return np.concatenate(passes)


def _turn(step: Array, steps: int) -> Array:
    """Return exp(-2 pi i `step` / `steps`) as complex64."""
    turned: Array = np.exp(-2j * np.pi * step / steps).astype(np.complex64)
    return turned

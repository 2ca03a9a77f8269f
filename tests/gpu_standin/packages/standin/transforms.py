"""Transforms of ``cupyx.scipy.fft`` and ``cupy.fft`` over several axes: through plans, as CuPy does them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import Any

import numpy as np
import scipy.fft

from standin import cufft
from standin.allocators import alloc
from standin.counting import note
from standin.operands import here, is_array, wrap
from standin.plans import plan_many, remember, type_of
from standin.streams import refuse_capture

_NORMS = ("backward", "ortho", "forward")


def get_fft_plan(a: Any, shape: Any = None, axes: Any = None, value_type: str = "C2C") -> cufft.PlanNd:
    """A plan for transforms of arrays like `a`; it is not kept in the cache."""
    if not a.flags.c_contiguous:
        raise NotImplementedError("the stand-in plans for C-contiguous arrays only")
    chosen, sizes = _axes(a, shape, axes)
    before = _input_shape(a.shape, chosen, sizes, value_type)
    _, fft_type = type_of(a.dtype, value_type)
    if len(chosen) == 1:
        rows = prod(before) // before[chosen[0]]
        length = sizes[0] if sizes[0] is not None else _length(before[chosen[0]], value_type)
        return cufft.Plan1d(length, fft_type, rows)
    return plan_many(before, fft_type, chosen, _out_size(before, chosen, sizes, value_type))


def transform(
    a: Any, s: Any, axes: Any, norm: str | None, direction: int, kind: str, *, overwrite: bool, plan: Any
) -> Any:
    """A transform over two or three axes; a factor is applied in a pass of its own."""
    import cupy

    if not is_array(a):
        raise TypeError("The input array a must be a cupy.ndarray")
    if (norm or "backward") not in _NORMS:
        raise ValueError(f'Invalid norm value {norm}, should be "backward", "ortho", or "forward".')
    chosen, sizes = _axes(a, s, axes)
    dtype, fft_type = type_of(a.dtype, kind)
    given = a
    a = cupy.ascontiguousarray(a.astype(dtype, copy=False))
    before = _input_shape(a.shape, chosen, sizes, kind)
    a = _cropped(a, before)
    out_size = _out_size(before, chosen, sizes, kind)
    plan = plan or cufft.get_current_plan()
    if plan is None:
        plan = remember(plan_many(before, fft_type, chosen, out_size))
    elif plan.fft_type != fft_type or (kind != "C2C" and plan.last_size != out_size):
        raise ValueError("The cuFFT plan and a.shape do not match")
    if kind == "C2R" and not overwrite and a is given:
        a = a.copy()
    out = a if overwrite and kind == "C2C" else plan.get_output_array(a)
    plan.check_output_array(a, out)
    plan.fft(a, out, direction)
    count = prod((a if kind == "R2C" else out).shape[k] for k in chosen)
    if norm == "ortho":
        out /= sqrt(count)
    elif (norm or "backward") == ("forward" if direction == cufft.CUFFT_FORWARD else "backward"):
        out /= count
    return out


def trigonometric(name: str) -> Callable[..., Any]:
    """``dctn``, ``dstn`` or an inverse, which CuPy makes of complex transforms along one axis after the other.

    The result of a forward one is the real part of a complex array, hence not contiguous.
    """
    library = getattr(scipy.fft, name)
    forward = not name.startswith("i")
    between = 28 if forward else 24
    """Bytes per voxel that live besides the result: copies along the axes, and cuFFT's work area."""

    def call(
        x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: Any = None, overwrite_x: bool = False
    ) -> Any:
        refuse_capture()
        values = here(x)
        temporary = alloc(between * values.size * values.itemsize // 4)
        with np.errstate(all="ignore"):
            result = library(values, type, s, axes, norm)
        note("fft", name, values.nbytes + result.nbytes + temporary.mem.size)
        if not forward:
            return wrap(result)
        parts = np.zeros(result.shape, np.result_type(result.dtype, np.complex64))
        parts.real = result
        return wrap(parts).real

    return call


def _axes(a: Any, s: Any, axes: Any) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    if axes is None:
        axes = range(-(a.ndim if s is None else len(s)), 0)
    chosen = tuple(k % a.ndim for k in axes)
    sizes = (None,) * len(chosen) if s is None else tuple(s)
    if len(sizes) != len(chosen):
        raise ValueError("Shape and axes have different lengths.")
    order = sorted(range(len(chosen) - 1), key=chosen.__getitem__)
    order.append(len(chosen) - 1)
    return tuple(chosen[k] for k in order), tuple(sizes[k] for k in order)


def _input_shape(
    shape: Sequence[int], axes: Sequence[int], sizes: Sequence[int | None], kind: str
) -> tuple[int, ...]:
    result = list(shape)
    for axis, size in zip(axes, sizes, strict=True):
        if size is not None:
            result[axis] = size // 2 + 1 if kind == "C2R" and axis == axes[-1] else size
    return tuple(result)


def _out_size(before: Sequence[int], axes: Sequence[int], sizes: Sequence[int | None], kind: str) -> int | None:
    last = before[axes[-1]]
    if kind == "R2C":
        return last // 2 + 1
    if kind == "C2R":
        return sizes[-1] if sizes[-1] is not None else _length(last, kind)
    return None


def _length(last: int, kind: str) -> int:
    return 2 * (last - 1) if kind == "C2R" else last


def _cropped(a: Any, shape: tuple[int, ...]) -> Any:
    """`a` cut or padded with zeros to `shape`."""
    import cupy

    if a.shape == shape:
        return a
    part = tuple(slice(0, min(n, m)) for n, m in zip(a.shape, shape, strict=True))
    result = cupy.zeros(shape, a.dtype)
    result[part] = a[part]
    return result

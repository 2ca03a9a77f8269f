"""Plans behind ``cupyx.scipy.fft`` and ``cupy.fft``, and the cache that keeps them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from standin import cufft, devices

_THREAD = threading.local()
_TYPES = {"C2C": ("F", cufft.CUFFT_C2C, cufft.CUFFT_Z2Z), "R2C": ("f", cufft.CUFFT_R2C, cufft.CUFFT_D2Z),
          "C2R": ("F", cufft.CUFFT_C2R, cufft.CUFFT_Z2D)}  # fmt: skip


class PlanCache:
    """Plans of one thread and device that were used last; their work areas stay allocated."""

    def __init__(self, size: int = 16, memsize: int = -1, dev: int = -1) -> None:
        self._size, self._memsize = size, memsize
        self._plans: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, default: Any = None) -> Any:
        """The plan of this key."""
        if key not in self._plans:
            return default
        self._plans.move_to_end(key)
        return self._plans[key]

    def __getitem__(self, key: Any) -> Any:
        if key not in self._plans:
            raise KeyError(key)
        return self.get(key)

    def __setitem__(self, key: Any, plan: Any) -> None:
        self._plans[key] = plan
        self._shrink()

    def _shrink(self) -> None:
        while self._plans and (
            0 <= self._size < len(self._plans) or 0 <= self._memsize < self.get_curr_memsize()
        ):
            self._plans.popitem(last=False)

    def get_size(self) -> int:
        """How many plans may be kept."""
        return self._size

    def set_size(self, size: int) -> None:
        """Set how many plans may be kept; -1 is any number."""
        self._size = size
        self._shrink()

    def get_memsize(self) -> int:
        """How many bytes the work areas may have."""
        return self._memsize

    def set_memsize(self, memsize: int) -> None:
        """Set how many bytes the work areas may have; -1 is any number."""
        self._memsize = memsize
        self._shrink()

    def get_curr_size(self) -> int:
        """How many plans are kept."""
        return len(self._plans)

    def get_curr_memsize(self) -> int:
        """How many bytes the work areas have."""
        return sum(plan.work_area.mem.size for plan in self._plans.values())

    def clear(self) -> None:
        """Forget the plans."""
        self._plans.clear()

    def show_info(self) -> None:
        """Print the plans."""
        print(f"{self.get_curr_size()} plans, {self.get_curr_memsize()} bytes")  # noqa: T201


def get_plan_cache() -> PlanCache:
    """The cache of this thread and the current device."""
    caches: dict[int, PlanCache] = _THREAD.__dict__.setdefault("caches", {})
    return caches.setdefault(devices.current(), PlanCache())


def plan_many(
    shape: tuple[int, ...], fft_type: int, axes: tuple[int, ...], out_size: int | None
) -> cufft.PlanNd:
    """The plan for C-contiguous arrays of `shape`, whose axes are adjacent and hold the first or the last."""
    ndim = len(shape)
    adjacent = all(b - a == 1 for a, b in pairwise(axes))
    if not adjacent or not (0 in axes or ndim - 1 in axes) or not 0 < len(axes) <= 3:
        raise ValueError("An n-dimensional cuFFT plan could not be created.")
    before = tuple(shape[a] for a in axes)
    after = before[:-1] + ((out_size,) if out_size is not None else before[-1:])
    size = after if fft_type in {cufft.CUFFT_C2R, cufft.CUFFT_Z2D} else before
    if len(axes) == ndim:
        count, strides = 1, (1, 1, 1, 1)
    elif 0 not in axes:
        count, strides = prod(shape[: axes[0]]), (1, prod(before), 1, prod(after))
    else:
        count = prod(shape[axes[-1] + 1 :])
        strides = (count, 1, count, 1)
    key = (size, before, *strides[:2], after, *strides[2:], fft_type, count, "C", axes[-1], out_size)
    plan = get_plan_cache().get(key)
    return plan if plan is not None else cufft.PlanNd(*key)


def remember(plan: cufft.PlanNd) -> cufft.PlanNd:
    """Keep a plan in the cache of this thread."""
    (before, istride, idist), (after, ostride, odist) = plan._layouts
    key = (plan.shape, before, istride, idist, after, ostride, odist, plan.fft_type, plan.batch, plan.order,
           plan.last_axis, plan.last_size)  # fmt: skip
    get_plan_cache()[key] = plan
    return plan


def type_of(dtype: np.dtype, kind: str) -> tuple[np.dtype, int]:
    """Type to which the input of a transform is converted, and cuFFT's name for the transform."""
    char, single, double = _TYPES[kind]
    if dtype.char in "efF":
        return np.dtype(char), single
    return np.dtype({"f": "d", "F": "D"}[char]), double

"""``cupy.ndarray``: a NumPy array that refuses what CuPy's array refuses, and knows its device."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from standin import devices, memory
from standin.conversions import Conversions
from standin.counting import note
from standin.operands import here, is_array
from standin.pools import is_pinned
from standin.streams import queue, reads_until_wait, refuse_capture, wait


class Flags:
    """Memory order of an array."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous: bool = flags.c_contiguous
        self.f_contiguous: bool = flags.f_contiguous
        self.owndata: bool = flags.owndata

    def __getitem__(self, name: str) -> bool:
        return bool(getattr(self, name.lower()))


class ndarray(Conversions):
    """An array in the memory of a pretended device."""

    __array_priority__ = 100
    __slots__ = ("__weakref__", "_a", "_device")
    __hash__ = None

    _a: np.ndarray
    _device: int

    def __new__(
        cls, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> ndarray:
        if memptr is None:
            return cls._of(np.empty(shape, dtype, order))
        return cls._of(np.ndarray(shape, dtype, memptr.mem.buffer, memptr.offset, strides, order))

    @classmethod
    def _of(cls, array: np.ndarray) -> ndarray:
        """Wrap a NumPy array that no one on the host holds."""
        self = object.__new__(cls)
        self._device = memory.register(array)
        self._a = array
        return self

    def __del__(self) -> None:
        """Free the memory here, where a profile sees the stand-in; CuPy's pool would only note it as free."""
        self._a = None

    # Attributes

    @property
    def shape(self) -> tuple[int, ...]:
        return self._a.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        self._a = self._a.reshape(shape)

    @property
    def ndim(self) -> int:
        return self._a.ndim

    @property
    def dtype(self) -> np.dtype:
        return self._a.dtype

    @property
    def size(self) -> int:
        return self._a.size

    @property
    def nbytes(self) -> int:
        return self._a.nbytes

    @property
    def itemsize(self) -> int:
        return self._a.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        return self._a.strides

    @property
    def T(self) -> ndarray:
        return ndarray._of(self._a.T)

    @property
    def base(self) -> ndarray | None:
        return None if self._a.base is None else ndarray._of(self._a.base)

    @property
    def flags(self) -> Flags:
        return Flags(self._a.flags)

    @property
    def device(self) -> devices.Device:
        return devices.Device(self._device)

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(ptr=self._a.ctypes.data, device_id=self._device)

    @property
    def real(self) -> ndarray:
        return ndarray._of(self._a.real)

    @real.setter
    def real(self, value: Any) -> None:
        ndarray._of(self._a.real)[...] = value

    @property
    def imag(self) -> ndarray:
        return ndarray._of(self._a.imag) if self.dtype.kind == "c" else ndarray._of(np.zeros_like(self._a))

    @imag.setter
    def imag(self, value: Any) -> None:
        ndarray._of(self._a.imag)[...] = value

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return len(self._a)

    def __iter__(self) -> Iterator[ndarray]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self._a)))

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> ndarray:
        return self.copy()

    def copy(self, order: str = "C") -> ndarray:
        values = here(self)
        copy = ndarray._of(values.copy(order))
        note("operation", "copy", 2 * values.nbytes)
        return copy

    # Writing

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        refuse_capture()
        note("to device", "set", self.nbytes)
        self._a[...] = arr
        if is_pinned(arr):
            reads_until_wait(stream, arr)

    def fill(self, value: Any) -> None:
        target = here(self)
        if is_array(value):
            if value.shape != ():
                raise ValueError("non-scalar cupy.ndarray cannot be used for fill")
            value = here(value)
        elif np.ndim(value):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        queue("operation", "fill", target.nbytes, lambda: target.fill(value))

    def __getitem__(self, key: Any) -> ndarray:
        places = _key(key)
        if _copies(places):
            copy = ndarray._of(np.asarray(here(self)[places]))
            note("operation", "index", self.nbytes)
            return copy
        result = self._a[places]
        if isinstance(result, np.ndarray):
            return ndarray._of(result)
        whole = places if isinstance(places, tuple) else (places,)
        return ndarray._of(self._a[(*whole, ...)])

    def __setitem__(self, key: Any, value: Any) -> None:
        places, target = _key(key, writes=True), here(self)
        if is_array(value):
            value = here(value)
            if _masks(places) and value.size != 1:
                wait("boolean index")
        elif (isinstance(value, np.ndarray) and value.ndim) or isinstance(value, list | tuple):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")

        def action() -> None:
            with np.errstate(all="ignore"):
                target[places] = value

        moved = target[places].nbytes if not _copies(places) else target.nbytes
        queue("operation", "setitem", moved, action)


def _copies(places: Any) -> bool:
    """Whether an index makes a copy."""
    return any(isinstance(p, np.ndarray | list) for p in (places if isinstance(places, tuple) else (places,)))


def _masks(places: Any) -> bool:
    items = places if isinstance(places, tuple) else (places,)
    return any(isinstance(p, np.ndarray) and p.dtype == np.bool_ for p in items)


def _key(key: Any, *, writes: bool = False) -> Any:
    """An index for NumPy; reading through a boolean one waits for the number of its voxels."""

    def one(part: Any) -> Any:
        if is_array(part):
            return here(part)
        if (isinstance(part, np.ndarray) and part.ndim) or isinstance(part, list):
            note("to device", "index", np.asarray(part).nbytes)
        return part

    places = tuple(one(part) for part in key) if isinstance(key, tuple) else one(key)
    if _masks(places) and not writes:
        wait("boolean index")
    return places


ndarray.__module__ = "cupy"

"""``cupy.ndarray``: a NumPy array that refuses what CuPy's array refuses, and knows its device."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from standin import devices, memory
from standin.counting import note
from standin.operands import here, is_array
from standin.pools import is_pinned
from standin.streams import arrive_later, queue, reads_until_wait, refuse_capture, wait

IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. "
    "Please use `.get()` to construct a NumPy array explicitly."
)


class Flags:
    """Memory order of an array."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous: bool = flags.c_contiguous
        self.f_contiguous: bool = flags.f_contiguous
        self.owndata: bool = flags.owndata

    def __getitem__(self, name: str) -> bool:
        return bool(getattr(self, name.lower()))


class ndarray:
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

    # Implicit conversion

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(IMPLICIT)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        import cupy

        out = kwargs.get("out")
        if out is not None:
            if len(out) != 1:
                raise ValueError("The 'out' parameter must have exactly one array value")
            kwargs["out"] = out[0]
        try:
            function = getattr(cupy, ufunc.__name__)
            if method != "__call__":
                function = getattr(function, method)
        except AttributeError:
            return NotImplemented
        return function(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        import cupy

        try:
            module = functools.reduce(getattr, func.__module__.split(".")[1:], cupy)
            mine = getattr(module, func.__name__)
        except AttributeError:
            return NotImplemented
        if not all(issubclass(t, ndarray | np.ndarray) for t in types):
            return NotImplemented
        return mine(*args, **kwargs)

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

    # Copies to the host, each of which waits

    def get(
        self, stream: Any = None, order: str = "C", out: np.ndarray | None = None, blocking: bool = True
    ) -> np.ndarray:
        refuse_capture()
        note("to host", "get", self.nbytes)
        if out is None:
            out = np.empty(self.shape, self.dtype, order)
        elif not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        elif out.shape != self.shape or out.dtype != self.dtype:
            raise ValueError("Shape or dtype mismatch")
        if blocking or not is_pinned(out):
            out[...] = self._a
            wait("get")
        else:
            arrive_later(stream, out, self._a.copy())
        return out

    def _scalar(self, name: str) -> Any:
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        note("to host", name, self.itemsize)
        wait(name)
        return self._a.item()

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __bool__(self) -> bool:
        return bool(self._scalar("bool"))

    def __complex__(self) -> complex:
        return complex(self._scalar("complex"))

    def item(self) -> Any:
        return self._scalar("item")

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get().item() if not self.ndim else self.get(), spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return _to_device, (self.get(),)

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


def _to_device(array: np.ndarray) -> ndarray:
    note("to device", "unpickle", array.nbytes)
    return ndarray._of(array.copy())


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

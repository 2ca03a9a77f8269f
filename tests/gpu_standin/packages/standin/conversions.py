"""What leaves an array of the stand-in for the host: refused where implicit, else a copy that waits."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from standin.counting import note
from standin.pools import is_pinned
from standin.streams import arrive_later, refuse_capture, wait

if TYPE_CHECKING:
    from standin.array import ndarray

IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. "
    "Please use `.get()` to construct a NumPy array explicitly."
)


class Conversions:
    """Conversions of an array to what the host can read."""

    __slots__ = ()

    _a: np.ndarray

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
        if not all(issubclass(t, Conversions | np.ndarray) for t in types):
            return NotImplemented
        return mine(*args, **kwargs)

    # Copies to the host, each of which waits

    def get(
        self, stream: Any = None, order: str = "C", out: np.ndarray | None = None, blocking: bool = True
    ) -> np.ndarray:
        refuse_capture()
        note("to host", "get", self._a.nbytes)
        if out is None:
            out = np.empty(self._a.shape, self._a.dtype, order)
        elif not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        elif out.shape != self._a.shape or out.dtype != self._a.dtype:
            raise ValueError("Shape or dtype mismatch")
        if blocking or not is_pinned(out):
            out[...] = self._a
            wait("get")
        else:
            arrive_later(stream, out, self._a.copy())
        return out

    def _scalar(self, name: str) -> Any:
        if self._a.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        note("to host", name, self._a.itemsize)
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
        return format(self.get().item() if not self._a.ndim else self.get(), spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return _to_device, (self.get(),)


def _to_device(array: np.ndarray) -> ndarray:
    from standin.array import ndarray

    note("to device", "unpickle", array.nbytes)
    return ndarray._of(array.copy())

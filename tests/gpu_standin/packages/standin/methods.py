"""Operators and methods of ``cupy.ndarray``: those of NumPy that the real class has too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from standin import api
from standin.array import ndarray
from standin.counting import note
from standin.operands import UNSUPPORTED, has_host_array, here, is_array, unwrap, wrap
from standin.streams import refuse_capture, wait

_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_COMPARISONS = {
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
}  # fmt: skip
_UNARY = {"neg": "negative", "abs": "absolute", "invert": "invert", "pos": "positive"}
_VIEWS = {"reshape", "transpose", "view", "squeeze", "swapaxes", "ravel", "diagonal"}
_HOST_ARGUMENTS = {"take", "reshape", "repeat", "transpose"}


def add_methods() -> None:
    """Complete the class."""
    for word, name in (_OPERATORS | _COMPARISONS).items():
        setattr(ndarray, f"__{word}__", _binary(name))
    for word, name in _OPERATORS.items():
        setattr(ndarray, f"__r{word}__", _binary(name, swapped=True))
        setattr(ndarray, f"__i{word}__", _in_place(name))
    for word, name in _UNARY.items():
        setattr(ndarray, f"__{word}__", _unary(name))
    ndarray.__matmul__ = _binary("matmul")
    ndarray.__rmatmul__ = _binary("matmul", swapped=True)
    for name in dir(np.ndarray):
        if not name.startswith("_") and not hasattr(ndarray, name) and api.has("cupy.ndarray", name):
            setattr(ndarray, name, _method(name))


def _cupy(name: str) -> Any:
    import cupy

    return getattr(cupy, name)


def _binary(name: str, *, swapped: bool = False) -> Callable[..., Any]:
    def method(self: ndarray, other: Any) -> Any:
        if isinstance(other, list | tuple | str) or other is None:
            return NotImplemented
        return _cupy(name)(other, self) if swapped else _cupy(name)(self, other)

    return method


def _in_place(name: str) -> Callable[..., Any]:
    def method(self: ndarray, other: Any) -> ndarray:
        if isinstance(other, np.ndarray):
            raise TypeError(UNSUPPORTED)
        _cupy(name)(self, other, out=self)
        return self

    return method


def _unary(name: str) -> Callable[..., Any]:
    def method(self: ndarray) -> Any:
        return _cupy(name)(self)

    return method


def _method(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        api.check_call("cupy.ndarray", name, args, kwargs)
        if name not in _HOST_ARGUMENTS and has_host_array([*args, *kwargs.values()]):
            raise TypeError(UNSUPPORTED)
        if name in _VIEWS:
            return wrap(getattr(self._a, name)(*unwrap(args), **kwargs))
        refuse_capture()
        options = {
            key: unwrap(v) for key, v in kwargs.items() if not (v is None and key in {"casting", "subok"})
        }
        values = here(self)
        with np.errstate(all="ignore"):
            result = getattr(values, name)(*unwrap(args), **options)
        if name in {"nonzero", "compress", "argpartition"}:
            wait(name)
        if result is not values:
            note("operation", name, values.nbytes + np.asarray(result).nbytes)
        out = kwargs.get("out")
        if out is not None and is_array(out):
            return out
        return self if result is values else wrap(result)

    method.__name__ = name
    return method


add_methods()

"""Elementwise functions, with the types of CuPy's loops."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from standin import api
from standin.counting import note
from standin.operands import is_array, operand, size_of, unwrap, wrap
from standin.streams import queue

_REDUCE = {
    "add", "multiply", "maximum", "minimum", "logical_or", "logical_and", "bitwise_and", "bitwise_or",
    "bitwise_xor",
}  # fmt: skip
_AT = {"add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"}
_KINDS = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


class ufunc:
    """``cupy.ufunc``: NumPy's function in the first of CuPy's loops to which the operands can be cast."""

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name
        self._function: np.ufunc = getattr(np, name)
        self.nin, self.nout = self._function.nin, self._function.nout
        self.types = ["->".join(pair) for pair in api.loops(name)]

    def __repr__(self) -> str:
        return f"<ufunc '{self.name}'>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        unknown = set(kwargs) - {"out", "dtype", "casting", "_where"}
        if unknown:
            raise TypeError(f"Wrong arguments {sorted(unknown)}")
        out = kwargs.get("out")
        if len(args) == self.nin + 1 and out is None:
            *args, out = args
        if len(args) != self.nin:
            raise TypeError(f"Wrong number of arguments for {self!r}")
        (out,) = out if isinstance(out, tuple) else (out,)
        if out is not None and not is_array(out):
            raise TypeError("Output arguments type must be cupy.ndarray")
        values = [operand(a) for a in args]
        signature = self._signature(values, kwargs.get("dtype"))
        options = {
            "casting": kwargs.get("casting", "same_kind"),
            **({"signature": signature} if signature else {}),
        }
        if out is not None:
            return self._into(out, values, options)
        with np.errstate(all="ignore"):
            result = self._function(*values, **options)
        results = result if isinstance(result, tuple) else (result,)
        wrapped = wrap(result)
        note("operation", self.name, size_of(*values, *map(np.asarray, results)))
        return wrapped

    def _into(self, out: Any, values: list[Any], options: dict[str, Any]) -> Any:
        target = operand(out)

        def action() -> None:
            with np.errstate(all="ignore"):
                self._function(*values, out=target, **options)

        queue("operation", self.name, size_of(*values, target), action)
        return out

    def _signature(self, values: list[Any], dtype: Any) -> tuple[Any, ...] | None:
        if not self.types:
            return None
        given = None if dtype is None else np.dtype(dtype).char
        inputs, outputs = _loop(self.name, tuple(_described(values)), given)
        signature = tuple(np.dtype(char) for char in inputs + outputs)
        return signature if _numpy_has(self._function, inputs, outputs) else None

    def reduce(
        self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        """Reduction over axes."""
        if self.name not in _REDUCE:
            raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")
        result = self._function.reduce(operand(array), axis=axis, dtype=dtype, keepdims=keepdims)
        reduced = wrap(result)
        note("operation", f"{self.name}.reduce", size_of(array._a))
        if out is not None:
            out[...] = reduced
        return reduced if out is None else out

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        """Unbuffered operation in place."""
        if self.name not in _AT:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        target, places, value = operand(a), unwrap(indices), operand(b)
        queue("operation", f"{self.name}.at", size_of(target), lambda: self._function.at(target, places, value))

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """Running sums and products."""
        if self.name not in {"add", "multiply"}:
            raise NotImplementedError(f"`{self.name}.accumulate` is not supported yet")
        return wrap(self._function.accumulate(operand(array), axis=axis, dtype=dtype))

    def outer(self, A: Any, B: Any, **kwargs: Any) -> Any:
        """Every pair of elements."""
        a, b = operand(A), operand(B)
        return self(wrap(a.reshape(a.shape + (1,) * b.ndim)), B, **kwargs)


def _described(values: list[Any]) -> list[tuple[str, bool]]:
    """Type of every operand, and whether it gives way to the arrays' types, as Python's scalars do."""
    arrays = [v.dtype for v in values if isinstance(v, np.ndarray)]
    described: list[tuple[str, bool]] = []
    for value in values:
        strong = isinstance(value, np.ndarray) or (isinstance(value, np.generic) and api.RELEASE != "13")
        dtype = value.dtype if isinstance(value, np.ndarray | np.generic) else np.dtype(type(value))
        if not strong and arrays:
            top = max(arrays, key=lambda d: _KINDS[d.kind])
            fits = _KINDS[dtype.kind] <= _KINDS[top.kind]
            number = bool(value) if dtype.kind == "b" else {"i": 1, "u": 1, "f": 1.0, "c": 1j}[dtype.kind]
            dtype = top if fits else np.result_type(top, number)
        described.append((dtype.char, strong))
    return described


@cache
def _loop(name: str, operands: tuple[tuple[str, bool], ...], dtype: str | None) -> tuple[str, str]:
    """The first loop to which the operands can be cast, or that gives `dtype`."""
    chars = [char for char, _ in operands]
    for inputs, outputs in api.loops(name):
        if dtype is not None:
            if np.dtype(outputs[0]) == np.dtype(dtype):
                return inputs, outputs
        elif all(np.can_cast(char, want) for char, want in zip(chars, inputs, strict=True)):
            return inputs, outputs
    raise TypeError(f"Wrong type ({', '.join(str(np.dtype(c)) for c in chars)}) of arguments for cupy_{name}")


@cache
def _numpy_has(function: np.ufunc, inputs: str, outputs: str) -> bool:
    try:
        function.resolve_dtypes(
            (*(np.dtype(c) for c in inputs), *(None for _ in outputs)),
            signature=tuple(np.dtype(c) for c in inputs + outputs),
        )
    except TypeError:
        return False
    return True

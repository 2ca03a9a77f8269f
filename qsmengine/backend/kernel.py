"""Declarative signature of a kernel, from which both hosts, the checks and the byte counts are derived."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.records import record

DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "c64": np.dtype(np.complex64),
    "u8": np.dtype(np.uint8),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
}
C_TYPES = {"f32": "float", "f64": "double", "c64": "Complex", "u8": "u8", "i32": "int", "i64": "Index"}

_MOST_BINDINGS = 256
"""Number of sets of shapes cached per kernel; the cache is cleared when it is full."""

_LINE = re.compile(
    r"(?P<name>\w+):\s*(?:(?P<role>in|out|inout)\s+)?(?P<type>\w+)\s*"
    r"(?:\[(?P<dims>[^\]]*)\](?:\s+align\s+(?P<align>\d+))?)?"
)


@record
class Arg:
    """One parameter: an array with a role and symbolic dimensions, or a scalar."""

    name: str
    type: str
    role: Literal["in", "out", "inout", "scalar"]
    dims: tuple[str, ...] = ()
    alignment: int = 1
    """Alignment of an array's address in bytes."""

    @property
    def is_array(self) -> bool:
        """True for pointers."""
        return self.role != "scalar"


@record
class Binding:
    """Sizes that follow from the shapes of a kernel's arguments."""

    sizes: Mapping[str, int]
    """Size of every dimension, by its symbol."""
    items: int
    """Number of work items."""
    extents: tuple[int, ...]
    """The sizes in the order in which the C function takes them."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel of ``kernels/<source>``.

    Parameters
    ----------
    name
        Function name in the source.
    source
        File in ``kernels/``.
    args
        One line each, ``name: in|out|inout type [dims]`` for arrays and ``name: type`` for scalars, in
        the order of the C parameters. After them the C function takes every dimension as Index, in
        order of first appearance. An array starts at a multiple of its element size, or of the number of
        bytes after ``align``, for a kernel that loads several elements at once.
    items
        Dimensions whose product is the number of work items.
    threads
        Threads of a block on a GPU, equal to the source's ``TILE_THREADS``; 256 if it is not defined.
    """

    name: str
    source: str
    args: str
    items: str
    threads: int = 256

    @cached_property
    def arguments(self) -> tuple[Arg, ...]:
        """Parsed parameter list."""
        return tuple(_parse(line) for line in self.args.strip().splitlines())

    @cached_property
    def array_names(self) -> tuple[str, ...]:
        """Names of the arguments that are arrays."""
        return tuple(a.name for a in self.arguments if a.is_array)

    @cached_property
    def dims(self) -> tuple[str, ...]:
        """Symbolic dimensions in order of first appearance, without numbers."""
        seen = dict.fromkeys(d for a in self.arguments for d in a.dims if not d.isdigit())
        return tuple(seen)

    @property
    def c_parameters(self) -> str:
        """Return the C parameter list that the source must have."""
        parts = []
        for a in self.arguments:
            const = "const " if a.role == "in" else ""
            parts.append(f"{const}{C_TYPES[a.type]}* {a.name}" if a.is_array else f"{C_TYPES[a.type]} {a.name}")
        return ", ".join([*parts, *(f"Index {d}" for d in self.dims)])

    def bind(self, values: Mapping[str, Any]) -> Binding:
        """Check `values` against the signature and return the sizes that follow from their shapes.

        Every call checks names, dtypes, memory order and shapes. The sizes for a set of shapes are computed
        once and cached: solvers launch a kernel many times on arrays of the same shapes.

        Raises
        ------
        InputError
            Before anything runs: for a missing or unknown argument, a wrong dtype, order, number of
            dimensions or size.
        """
        if values.keys() != self._names:
            missing, unknown = sorted(self._names - values.keys()), sorted(values.keys() - self._names)
            raise InputError(f"kernel {self.name}: missing arguments {missing}, unknown {unknown}")
        shapes = []
        for name, dtype in self._arrays:
            array: Array = values[name]
            if array.dtype != dtype:
                raise InputError(f"{self._where(name)}: dtype is {array.dtype}, must be {dtype}")
            if not array.flags.c_contiguous:
                raise InputError(f"{self._where(name)}: must be C-contiguous")
            shapes.append(array.shape)
        key = tuple(shapes)
        binding = self._bindings.get(key)
        if binding is None:
            if len(self._bindings) >= _MOST_BINDINGS:
                self._bindings.clear()
            binding = self._bindings[key] = self._new_binding(key)
        return binding

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(a.name for a in self.arguments)

    @cached_property
    def _arrays(self) -> tuple[tuple[str, np.dtype[Any]], ...]:
        return tuple((a.name, DTYPES[a.type]) for a in self.arguments if a.is_array)

    @cached_property
    def _bindings(self) -> dict[tuple[tuple[int, ...], ...], Binding]:
        return {}

    def check_address(self, arg: Arg, address: int) -> None:
        """Check the address of an array: a GPU cannot load an element from an unaligned address.

        Raises
        ------
        InputError
            For an address that is not a multiple of the argument's alignment.
        """
        if address % arg.alignment:
            raise InputError(f"{self._where(arg.name)}: must be aligned to {arg.alignment} bytes")

    def _where(self, name: str) -> str:
        return f"kernel {self.name}, argument {name}"

    def _new_binding(self, shapes: tuple[tuple[int, ...], ...]) -> Binding:
        sizes: dict[str, int] = {}
        for arg, shape in zip((a for a in self.arguments if a.is_array), shapes, strict=True):
            where = self._where(arg.name)
            if len(shape) != len(arg.dims):
                dims = " ".join(arg.dims)
                raise InputError(f"{where}: shape {tuple(shape)} must have dimensions [{dims}]")
            for symbol, size in zip(arg.dims, shape, strict=True):
                expected = int(symbol) if symbol.isdigit() else sizes.setdefault(symbol, int(size))
                if expected != size:
                    raise InputError(f"{where}: dimension {symbol} is {size}, must be {expected}")
        items = math.prod(sizes[d] for d in self.items.split())
        return Binding(sizes, items, tuple(sizes[d] for d in self.dims))

    def bytes_moved(self, values: Mapping[str, Any]) -> int:
        """Return the bytes that must move through memory: every input read once, every output written once."""
        factor = {"in": 1, "out": 1, "inout": 2}
        return sum(factor[a.role] * int(values[a.name].nbytes) for a in self.arguments if a.is_array)


def _parse(line: str) -> Arg:
    match = _LINE.fullmatch(line.strip())
    if match is None or match["type"] not in DTYPES:
        raise ValueError(f"not a kernel argument: {line.strip()!r}")
    if match["role"] is None:
        return Arg(match["name"], match["type"], "scalar")
    role: Any = match["role"]
    alignment = int(match["align"] or DTYPES[match["type"]].itemsize)
    return Arg(match["name"], match["type"], role, tuple((match["dims"] or "").split()), alignment)

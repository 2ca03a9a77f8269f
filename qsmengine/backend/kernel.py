"""Declarative signature of a kernel; both hosts, the checks and the byte counts derive from it."""

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

DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "c64": np.dtype(np.complex64),
    "u8": np.dtype(np.uint8),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
}
C_TYPES = {"f32": "float", "f64": "double", "c64": "Complex", "u8": "u8", "i32": "int", "i64": "Index"}

_LINE = re.compile(r"(?P<name>\w+):\s*(?:(?P<role>in|out|inout)\s+)?(?P<type>\w+)\s*(?:\[(?P<dims>[^\]]*)\])?")


@dataclass(frozen=True)
class Arg:
    """One parameter: an array with a role and symbolic dimensions, or a scalar."""

    name: str
    type: str
    role: Literal["in", "out", "inout", "scalar"]
    dims: tuple[str, ...] = ()

    @property
    def is_array(self) -> bool:
        """True for pointers."""
        return self.role != "scalar"


@dataclass(frozen=True)
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
        order of first appearance.
    items
        Dimensions whose product is the number of work items: how much there is to deal out.
    """

    name: str
    source: str
    args: str
    items: str

    @cached_property
    def arguments(self) -> tuple[Arg, ...]:
        """The parsed parameter list."""
        return tuple(_parse(line) for line in self.args.strip().splitlines())

    @cached_property
    def dims(self) -> tuple[str, ...]:
        """Symbolic dimensions in order of first appearance (numbers left out)."""
        seen = dict.fromkeys(d for a in self.arguments for d in a.dims if not d.isdigit())
        return tuple(seen)

    @property
    def c_parameters(self) -> str:
        """The C parameter list that the source must have."""
        parts = []
        for a in self.arguments:
            const = "const " if a.role == "in" else ""
            parts.append(f"{const}{C_TYPES[a.type]}* {a.name}" if a.is_array else f"{C_TYPES[a.type]} {a.name}")
        return ", ".join([*parts, *(f"Index {d}" for d in self.dims)])

    def bind(self, values: Mapping[str, Any]) -> dict[str, int]:
        """Check `values` against the signature and return the dimensions they fix.

        Raises
        ------
        InputError
            Before anything runs: for a missing or unknown argument, a wrong dtype, order, number of
            dimensions or size.
        """
        names = {a.name for a in self.arguments}
        if names != set(values):
            missing, unknown = sorted(names - set(values)), sorted(set(values) - names)
            raise InputError(f"kernel {self.name}: missing arguments {missing}, unknown {unknown}")
        sizes: dict[str, int] = {}
        for arg in self.arguments:
            if arg.is_array:
                self._bind_array(arg, values[arg.name], sizes)
        return sizes

    def _bind_array(self, arg: Arg, array: Array, sizes: dict[str, int]) -> None:
        where = f"kernel {self.name}, argument {arg.name}"
        if array.dtype != DTYPES[arg.type]:
            raise InputError(f"{where}: dtype is {array.dtype}, must be {DTYPES[arg.type]}")
        if not array.flags.c_contiguous:
            raise InputError(f"{where}: must be C-contiguous")
        if array.ndim != len(arg.dims):
            raise InputError(f"{where}: shape {tuple(array.shape)} must have dimensions [{' '.join(arg.dims)}]")
        for symbol, size in zip(arg.dims, array.shape, strict=True):
            expected = int(symbol) if symbol.isdigit() else sizes.setdefault(symbol, int(size))
            if expected != size:
                raise InputError(f"{where}: dimension {symbol} is {size}, must be {expected}")

    def work_items(self, sizes: Mapping[str, int]) -> int:
        """Number of work items for these dimensions."""
        return math.prod(sizes[d] for d in self.items.split())

    def bytes_moved(self, values: Mapping[str, Any]) -> int:
        """Bytes that must move through memory: every input read once, every output written once."""
        factor = {"in": 1, "out": 1, "inout": 2}
        return sum(factor[a.role] * int(values[a.name].nbytes) for a in self.arguments if a.is_array)


def _parse(line: str) -> Arg:
    match = _LINE.fullmatch(line.strip())
    if match is None or match["type"] not in DTYPES:
        raise ValueError(f"not a kernel argument: {line.strip()!r}")
    if match["role"] is None:
        return Arg(match["name"], match["type"], "scalar")
    role: Any = match["role"]
    return Arg(match["name"], match["type"], role, tuple((match["dims"] or "").split()))

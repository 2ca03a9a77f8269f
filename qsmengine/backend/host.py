"""Plain C++ functions of the CPU library (``kernels/*.cpp``): irregular algorithms that stay on the host.

They are declared in the language of the kernels' signatures. The C function takes the arguments in
order, then every dimension as Index, and returns 0, 1 (out of memory) or 2 (too many voxels).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from qsmengine.backend.cpu import address, load_library
from qsmengine.backend.kernel import Kernel
from qsmengine.errors import InputError, OutOfMemoryError

_SCALARS = {"f32": ctypes.c_float, "f64": ctypes.c_double, "i32": ctypes.c_int, "i64": ctypes.c_longlong}


@dataclass(frozen=True)
class HostFunction:
    """A function of ``kernels/<source>`` that runs serially on NumPy arrays.

    Parameters
    ----------
    name
        Function name in the source.
    source
        File in ``kernels/``.
    args
        Parameters, as in :class:`~qsmengine.backend.kernel.Kernel`.
    """

    name: str
    source: str
    args: str

    @cached_property
    def signature(self) -> Kernel:
        """The parsed signature, which checks arguments and tells the C parameters."""
        return Kernel(self.name, self.source, self.args, items="")


def hostcall(function: HostFunction, **values: Any) -> None:
    """Run `function` with NumPy arrays and scalars given by name.

    Raises
    ------
    InputError
        Before the call, for arguments that break the signature; after it, for too many voxels.
    OutOfMemoryError
        When memory runs out.
    """
    signature = function.signature
    for arg in signature.arguments:
        if arg.is_array and arg.name in values and not isinstance(values[arg.name], np.ndarray):
            raise InputError(f"host function {function.name}, argument {arg.name}: must be a NumPy array")
    bound = signature.bind(values)
    arguments = [address(values[a.name]) if a.is_array else values[a.name] for a in signature.arguments]
    status = _function(function)(*arguments, *bound.extents)
    if status == 1:
        raise OutOfMemoryError(f"out of memory in {function.name} for dimensions {dict(bound.sizes)}")
    if status == 2:
        raise InputError(f"{function.name}: {dict(bound.sizes)} are too many voxels", field="shape")


@cache
def _function(function: HostFunction) -> Any:
    library, _ = load_library()
    symbol = getattr(library, function.name)
    signature = function.signature
    types: list[Any] = [ctypes.c_void_p if a.is_array else _SCALARS[a.type] for a in signature.arguments]
    symbol.argtypes = types + [ctypes.c_longlong] * len(signature.dims)
    symbol.restype = ctypes.c_int
    return symbol

"""Plain C++ functions of the CPU library (``kernels/*.cpp``): irregular algorithms that run on the host.

They are declared like kernels. The C function takes the arguments in order, then every dimension as Index, and
returns 0, 1 (out of memory) or 2 (too many voxels).
"""

from __future__ import annotations

import ctypes
from functools import cache, cached_property
from typing import Any

import numpy as np

from qsmengine.backend.cpu import c_arguments, c_function
from qsmengine.backend.kernel import Kernel
from qsmengine.errors import InputError, OutOfMemoryError
from qsmengine.records import record


@record
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
        """Parsed signature, which checks the arguments and defines the C parameters."""
        return Kernel(self.name, self.source, self.args, items="")


def hostcall(function: HostFunction, **values: Any) -> None:
    """Run `function` with NumPy arrays and scalars given by name.

    Raises
    ------
    InputError
        Before the call, for arguments that violate the signature; after it, for too many voxels.
    OutOfMemoryError
        If memory runs out.
    """
    signature = function.signature
    for arg in signature.arguments:
        if arg.is_array and arg.name in values and not isinstance(values[arg.name], np.ndarray):
            raise InputError(f"host function {function.name}, argument {arg.name}: must be a NumPy array")
    bound = signature.bind(values)
    status = _function(function)(*c_arguments(signature, values, bound))
    if status == 1:
        raise OutOfMemoryError(f"out of memory in {function.name} for dimensions {dict(bound.sizes)}")
    if status == 2:
        raise InputError(f"{function.name}: {dict(bound.sizes)} are too many voxels", field="shape")


@cache
def _function(function: HostFunction) -> Any:
    return c_function(function.signature, result=ctypes.c_int)

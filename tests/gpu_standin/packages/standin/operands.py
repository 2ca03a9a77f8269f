"""Between the arrays of the stand-in and the NumPy arrays in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from standin import devices

if TYPE_CHECKING:
    from standin.array import ndarray

UNSUPPORTED = "Unsupported type <class 'numpy.ndarray'>"


def is_array(value: Any) -> bool:
    """Whether `value` is an array of the stand-in."""
    return type(value).__name__ == "ndarray" and hasattr(value, "_a")


def has_host_array(value: Any) -> bool:
    """Whether `value` is a NumPy array, or a list or tuple that holds one."""
    if isinstance(value, np.ndarray):
        return True
    return isinstance(value, list | tuple) and any(has_host_array(v) for v in value)


def here(array: ndarray) -> np.ndarray:
    """The NumPy array in an array of the current device.

    Raises
    ------
    ValueError
        For an array of another device.
    """
    if array._device != devices.current():
        raise ValueError(
            "Array device must be same as the current device: "
            f"array device = {array._device} while current = {devices.current()}"
        )
    return array._a


def operand(value: Any) -> Any:
    """What NumPy computes with for an operand of a ufunc.

    Raises
    ------
    TypeError
        For NumPy arrays and for what is neither array nor scalar.
    """
    if is_array(value):
        return here(value)
    if isinstance(value, np.ndarray):
        raise TypeError(UNSUPPORTED)
    if isinstance(value, list | tuple | dict | str) or value is None:
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def unwrap(value: Any, *, checked: bool = True) -> Any:
    """`value` with NumPy arrays in place of arrays of the stand-in, also in lists and tuples."""
    if is_array(value):
        return here(value) if checked else value._a
    if isinstance(value, list | tuple):
        items = [unwrap(v, checked=checked) for v in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def wrap(value: Any) -> Any:
    """`value` with arrays of the stand-in in place of NumPy arrays and scalars, also in lists and tuples."""
    from standin.array import ndarray

    if isinstance(value, np.ndarray):
        return ndarray._of(value)
    if isinstance(value, np.generic):
        return ndarray._of(np.asarray(value))
    if isinstance(value, tuple):
        items = [wrap(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [wrap(v) for v in value]
    return value


def size_of(*values: Any) -> int:
    """Bytes of the arrays among `values`."""
    return sum(v.nbytes for v in values if isinstance(v, np.ndarray))

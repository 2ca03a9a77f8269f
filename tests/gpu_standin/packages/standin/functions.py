"""Functions of ``cupy`` and ``cupyx``: NumPy's and SciPy's, refused where CuPy's would refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from standin import api
from standin.counting import note
from standin.operands import UNSUPPORTED, has_host_array, is_array, size_of, unwrap, wrap
from standin.streams import refuse_capture, wait

CONVERTERS = {"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"}
"""Functions that copy host arrays to the device."""

HOST_PARAMETERS = {
    "pad", "require", "repeat", "tile", "take", "isin", "searchsorted", "percentile", "quantile",
    "result_type", "can_cast", "iscomplexobj", "isrealobj", "ndim", "shape", "size", "isscalar", "roll",
    "convolve", "correlate", "gaussian_filter", "map_coordinates", "zoom", "affine_transform", "label",
    "binary_erosion", "binary_dilation", "binary_opening", "binary_closing", "binary_fill_holes",
    "binary_propagation", "grey_erosion", "grey_dilation", "maximum_filter", "minimum_filter",
    "median_filter", "rank_filter", "percentile_filter", "spline_filter",
}  # fmt: skip
"""Functions of which parameters other than the first may be NumPy arrays."""

WAITING = {
    "nonzero", "flatnonzero", "argwhere", "unique", "extract", "compress", "bincount", "histogram",
    "percentile", "quantile", "nanpercentile", "nanquantile", "label", "setdiff1d", "intersect1d",
    "union1d", "trim_zeros", "array_equiv", "lstsq",
}  # fmt: skip
"""Functions that make the host wait: a number that the host needs is on the device."""

ITERATED = {"binary_erosion", "binary_dilation", "binary_opening", "binary_closing"}
"""Functions that repeat only with `brute_force`."""

WITHOUT_WORK = {
    "ndim", "shape", "size", "result_type", "can_cast", "iscomplexobj", "isrealobj", "isscalar", "moveaxis",
    "transpose", "reshape", "squeeze", "expand_dims", "broadcast_to", "swapaxes", "rollaxis",
    "may_share_memory", "shares_memory", "atleast_1d", "atleast_2d", "atleast_3d",
}  # fmt: skip
"""Functions that look at an array or view it: no device works."""

_ONLY_CUPY = {"blocking", "stream"}


def function(place: str, name: str, numpy_function: Callable[..., Any]) -> Callable[..., Any]:
    """The function `name` of the module `place`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        api.check_call(place, name, args, kwargs)
        if name in WITHOUT_WORK:
            return wrap(numpy_function(*unwrap(args, checked=False), **kwargs))
        refuse_capture()
        if name in ITERATED and kwargs.get("iterations", 1) != 1 and not kwargs.get("brute_force"):
            raise NotImplementedError("only brute_force iterations are supported")
        if name in CONVERTERS:
            _note_upload(args)
        else:
            _refuse_host_arrays(place, name, args, kwargs)
        values = unwrap(args)
        options = {key: unwrap(value) for key, value in kwargs.items() if key not in _ONLY_CUPY}
        with np.errstate(all="ignore"):
            result = numpy_function(*values, **options)
        if name in CONVERTERS and has_host_array(args[0]) and np.may_share_memory(result, np.asarray(args[0])):
            result = result.copy()
        if name in WAITING or (name == "where" and len(args) + len(kwargs) == 1):
            wait(name)
        note("fft" if place.endswith("fft") else "operation", name, _moved(values, result))
        out = kwargs.get("out")
        return wrap(result) if out is None else out

    call.__name__ = call.__qualname__ = name
    call.__module__ = place
    return call


def _moved(values: Any, result: Any) -> int:
    results = result if isinstance(result, tuple | list) else (result,)
    return size_of(*values, *results)


def _note_upload(args: tuple[Any, ...]) -> None:
    if args and not is_array(args[0]) and (has_host_array(args[0]) or isinstance(args[0], list | tuple)):
        items = args[0] if isinstance(args[0], list | tuple) else (args[0],)
        note("to device", "asarray", size_of(*items))


def _refuse_host_arrays(place: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    suspects = args[:1] if name in HOST_PARAMETERS else (*args, *kwargs.values())
    if any(has_host_array(value) for value in suspects):
        raise TypeError(f"{place}.{name}: {UNSUPPORTED}")

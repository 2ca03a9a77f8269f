"""The stand-in's arrays refuse what CuPy's refuse, and compute in CuPy's types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

HOST = np.ones((3, 4), np.float32)

IMPLICIT = {
    "asarray": lambda cp, a: np.asarray(a),
    "numpy scalar of an element": lambda cp, a: np.float32(a[0, 0]),
    "numpy @ cupy": lambda cp, a: HOST.T @ a,
    "cupy @ numpy": lambda cp, a: a @ HOST.T,
    "numpy + cupy": lambda cp, a: HOST + a,
    "in place with numpy": lambda cp, a: a.__iadd__(HOST),
    "where with numpy": lambda cp, a: cp.where(a > 0, a, HOST),
    "maximum with numpy": lambda cp, a: cp.maximum(a, HOST),
    "sum of numpy": lambda cp, a: cp.sum(HOST),
    "stack with numpy": lambda cp, a: cp.stack([a, HOST]),
    "numpy's out": lambda cp, a: np.add(a, a, out=HOST.copy()),
    "numpy list of elements": lambda cp, a: np.array([a[0, 0], a[0, 1]]),
    "a list": lambda cp, a: cp.add(a, [1, 2, 3, 4]),
}


@pytest.mark.parametrize("case", IMPLICIT)
def test_implicit_conversion_is_refused(case: str, cupy: Any) -> None:
    with pytest.raises(TypeError):
        IMPLICIT[case](cupy, cupy.asarray(HOST))


def test_assigning_a_host_array_is_refused(cupy: Any) -> None:
    array = cupy.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match="non-scalar"):
        array[...] = HOST
    with pytest.raises(ValueError, match="non-scalar"):
        array.fill(HOST)


def test_names_and_parameters_that_cupy_lacks_are_refused(cupy: Any) -> None:
    array = cupy.asarray(HOST)
    with pytest.raises(AttributeError):
        _ = cupy.isdtype_nonsense
    with pytest.raises(AttributeError):
        array.partition_nonsense(2)
    with pytest.raises(TypeError, match="unexpected keyword"):
        array.sum(where=array > 0)
    with pytest.raises(TypeError, match="unexpected keyword"):
        cupy.mean(array, where=array > 0)
    with pytest.raises(TypeError, match="Wrong arguments"):
        cupy.add(array, array, where=array > 0)
    with pytest.raises(TypeError, match="positional"):
        array.item(0)


def test_ufuncs_have_only_cupy_s_types(cupy: Any) -> None:
    array = cupy.asarray(HOST)
    assert cupy.sign(array > 0).dtype == np.int8
    with pytest.raises(TypeError, match="Wrong type"):
        cupy.floor(array.astype(np.complex64))


def test_elements_are_no_indices(cupy: Any) -> None:
    with pytest.raises(TypeError):
        range(cupy.asarray(3))


def test_scalars_keep_the_type_of_arrays(cupy: Any) -> None:
    array = cupy.asarray(HOST)
    assert (array * 2.0 + 1).dtype == np.float32
    assert (np.float32(2) * array).dtype == np.float32
    assert (array / 3).dtype == np.float32
    assert (array.astype(np.uint8) + 1).dtype == np.uint8
    assert (array * 1j).dtype == np.complex64
    promoted = np.float32 if cupy.__version__.startswith("13") else np.float64
    assert (np.float64(2) * array).dtype == promoted


def test_copies_are_copies_and_views_are_views(cupy: Any) -> None:
    host = HOST.copy()
    array = cupy.asarray(host)
    host[:] = 7
    assert float(array.max()) == 1
    array[1:2][...] = 5
    assert float(array.sum()) == 4 * 1 + 4 * 5 + 4 * 1
    same = cupy.ascontiguousarray(array)
    same[0] = 3
    assert float(array[0, 0]) == 3


def test_arrays_of_another_device_are_refused(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    array = cupy.asarray(HOST)
    monkeypatch.setattr(array, "_device", 1)
    with pytest.raises(ValueError, match="array device = 1 while current = 0"):
        _ = array + array
    runtime = cupy.cuda.runtime
    with pytest.raises(runtime.CUDARuntimeError, match="invalid device"):
        cupy.cuda.Device(runtime.getDeviceCount()).use()

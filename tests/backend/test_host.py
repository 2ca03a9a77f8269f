from __future__ import annotations

import re

import numpy as np
import pytest

from qsmengine.backend.host import HostFunction, hostcall
from qsmengine.backend.signatures import fft, romeo, tfce
from qsmengine.backend.sources import source_directory
from qsmengine.errors import InputError

FUNCTIONS = [v for module in (fft, romeo, tfce) for v in vars(module).values() if isinstance(v, HostFunction)]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
def test_c_parameters_are_those_declared(function):
    text = (source_directory() / function.source).read_text()
    found = re.search(rf"EXPORT int {function.name}\(([^)]*)\)", text)
    assert found is not None
    assert " ".join(found[1].split()) == function.signature.c_parameters


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phase": np.zeros((3, 4, 5))}, "dtype is float64"),
        ({"state": np.zeros((3, 4, 6), np.uint8)}, "dimension nz is 6, must be 5"),
        ({"state": np.zeros((3, 5, 4), np.uint8).transpose(0, 2, 1)}, "C-contiguous"),
        ({"cost": [1, 2, 3]}, "must be a NumPy array"),
        ({"tree": np.zeros(60, np.int64)}, "are too many voxels"),
        ({"other": np.zeros(3)}, "unknown \\['other'\\]"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    values = {
        "cost": np.zeros((3, 3, 4, 5), np.uint8),
        "state": np.zeros((3, 4, 5), np.uint8),
        "phase": np.zeros((3, 4, 5), np.float32),
        "tree": np.zeros(61, np.int64),
    }
    hostcall(romeo.ROMEO_FOREST, **values)
    with pytest.raises(InputError, match=message):
        hostcall(romeo.ROMEO_FOREST, **(values | change))

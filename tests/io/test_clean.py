"""Non-finite values are found and set to 0."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.io._clean import zero_nonfinite


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_set_to_zero_with_a_note(rng, layout, bad):
    whole = rng.normal(size=(8, 9, 20)).astype(np.float32)
    array = whole[..., ::2] if layout == "strided" else np.array(whole, order=layout)
    expected = array.copy()
    place = tuple(int(rng.integers(n)) for n in array.shape)
    array[place], expected[place] = bad, 0
    notes: list[str] = []
    zero_nonfinite(array, "signal", "a.nii", notes)
    np.testing.assert_array_equal(array, expected)
    assert notes == [f"a.nii: 1 of {array.size} signal values are NaN or infinite; set to 0"]


def test_large_values_are_finite_though_their_squares_overflow(rng):
    array = (1e30 * rng.normal(size=(5, 6, 7))).astype(np.float32)
    before = array.copy()
    notes: list[str] = []
    zero_nonfinite(array, "signal", "a.nii", notes)
    np.testing.assert_array_equal(array, before)
    assert not notes

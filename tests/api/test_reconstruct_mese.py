"""R2 from arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qsmengine import InputError, UsageError, reconstruct_mese
from qsmengine.backend.device import to_numpy
from tests.modalities.mese.making import GRID, SETTINGS, brain


@pytest.fixture(scope="module")
def made():
    return brain(np.random.default_rng(4), noise=20.0)


def reconstruct(made, **more):
    options = {"echo_times": SETTINGS.echo_times, "mask": made.mask, "b1": made.b1, "device": "cpu", **more}
    return reconstruct_mese(made.series.signal, GRID, **options)


def test_r2_has_the_error_that_it_states(made):
    result = reconstruct(made)
    error = (result.r2 - made.r2)[made.mask]
    assert (error / result.r2_sd[made.mask]).std() == pytest.approx(1.0, abs=0.2)
    assert result.r2prime is None
    assert result.clipped is None


def test_r2prime_may_keep_negative_values(made):
    r2star = made.r2.copy()
    one = reconstruct(made, r2star=r2star)
    two = reconstruct(made, r2star=r2star, params={"reversible_decay": {"clip": False}})
    assert one.clipped == two.clipped == pytest.approx(0.5, abs=0.15)
    assert one.r2prime.min() == 0
    np.testing.assert_array_equal(np.maximum(two.r2prime, 0), one.r2prime)


def test_arrays_on_a_gpu_give_the_same_maps_there(made, gpu):
    on_host = reconstruct(made, r2star=made.r2)
    moved = made._replace(series=replace(made.series, signal=gpu.asarray(made.series.signal)))
    on_gpu = reconstruct(moved, mask=gpu.asarray(made.mask, bool), r2star=made.r2, device=None)
    for name in ("r2", "t2", "amplitude", "b1", "r2prime"):
        found, expected = getattr(on_gpu, name), getattr(on_host, name)
        assert isinstance(found, gpu.xp.ndarray), name
        np.testing.assert_allclose(
            to_numpy(found), expected, rtol=1e-3, atol=2e-3 * expected.max(), err_msg=name
        )


def test_arrays_that_do_not_fit_are_refused(made):
    with pytest.raises(InputError, match="not multiples"):
        reconstruct(made, echo_times=(0.01, 0.02, 0.03, 0.04, 0.05, 0.09))
    with pytest.raises(InputError, match="shape"):
        reconstruct(made, r2star=made.r2[1:])
    with pytest.raises(UsageError, match="unknown stage"):
        reconstruct(made, params={"flip_angles": {}})

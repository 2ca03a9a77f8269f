"""R1 from arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qsmengine import InputError, UsageError, reconstruct_vfa
from qsmengine.backend.device import to_numpy
from tests.modalities.vfa.making import GRID, SETTINGS, brain

FLIPS, REPETITIONS, ECHOES = SETTINGS.tables


@pytest.fixture(scope="module")
def made():
    return brain(np.random.default_rng(4), noise=2.0)


def reconstruct(made, **more):
    options = {
        "flip_angles": FLIPS, "repetition_times": REPETITIONS[0], "echo_times": ECHOES, "mask": made.mask,
        "b1": made.b1, "device": "cpu", **more,
    }  # fmt: skip
    return reconstruct_vfa(made.series.signal, GRID, **options)


def test_maps_have_the_errors_that_they_state(made):
    result = reconstruct(made)
    for name, truth in (("r1", made.r1), ("r2star", made.r2star)):
        error = (getattr(result, name) - truth)[made.mask]
        assert (error / result.errors[name][made.mask]).std() == pytest.approx(1.0, abs=0.1)


def test_methods_and_parameters_are_chosen_by_name(made):
    one = reconstruct(made, method="nonlinear", params={"flip_angles": {"noise": 1.0}})
    two = reconstruct(made, method="nonlinear", params={"flip_angles": {"noise": 2.0}})
    np.testing.assert_allclose(two.errors["r1"], 2 * one.errors["r1"], rtol=1e-5)
    with pytest.raises(UsageError, match="nonlinear"):
        reconstruct(made, method="nonlinaer")
    with pytest.raises(UsageError, match="unknown stage"):
        reconstruct(made, params={"flips": {}})


def test_arrays_on_a_gpu_give_the_same_maps_there(made, gpu):
    on_host = reconstruct(made, b1="minimum_entropy")
    options = {"b1": "minimum_entropy", "mask": gpu.asarray(made.mask, bool), "device": None}
    moved = made._replace(series=replace(made.series, signal=gpu.asarray(made.series.signal)))
    on_gpu = reconstruct(moved, **options)
    for name in ("r1", "t1", "amplitude", "r2star", "pd", "b1"):
        found, expected = getattr(on_gpu, name), getattr(on_host, name)
        assert isinstance(found, gpu.xp.ndarray), name
        np.testing.assert_allclose(
            to_numpy(found), expected, rtol=1e-3, atol=1e-3 * expected.max(), err_msg=name
        )


def test_one_echo_gives_no_r2star(made):
    first = made.series.signal[..., [0, 2]]
    result = reconstruct_vfa(
        first, GRID, flip_angles=(3.0, 20.0), repetition_times=0.028, echo_times=0.004, mask=made.mask,
        b1=made.b1, device="cpu",
    )  # fmt: skip
    assert result.r2star is None
    assert set(result.errors) == {"r1", "amplitude"}


def test_shapes_that_do_not_fit_are_refused(made):
    with pytest.raises(InputError, match="3 flip angles for 4 volumes"):
        reconstruct(made, flip_angles=FLIPS[:3])
    with pytest.raises(InputError, match="x, y, z, volume"):
        reconstruct_vfa(
            made.series.signal[..., 0], GRID, flip_angles=(3.0,), repetition_times=0.02, echo_times=0.004
        )

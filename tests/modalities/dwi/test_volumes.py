"""Volumes that a fit takes: a tensor those at which it holds, other models all."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.modalities.dwi.volumes import fitted_volumes
from qsmengine.pipeline.configuration.config import load_config
from tests.stages.diffusion.tensors import gradient_table


@pytest.mark.parametrize("method", ["ols", "iwls", "nlls", "restore", "constrained"])
@pytest.mark.parametrize(("shells", "kept"), [((700, 1200, 2800), 1300), ((1000, 2000, 4000), 1100)])
def test_a_tensor_takes_the_shells_where_it_holds(rng, method, shells, kept):
    b, g = gradient_table(rng, 12, shells, b0=3)
    b = b * rng.uniform(0.99, 1.01, b.size)
    volumes, (note,) = fitted_volumes(load_config(settings=[f"diffusion={method}"]), b, g)
    assert volumes.tolist() == np.flatnonzero(b < kept).tolist()
    assert f"fitted {len(volumes)} of {b.size} volumes" in note
    assert "diffusion.maximum_b" in note


@pytest.mark.parametrize("method", ["dki", "dki_constrained", "free_water"])
def test_models_of_several_shells_take_all(rng, method):
    b, g = gradient_table(rng, 12, (1000.0, 2000.0, 3000.0), b0=3)
    chosen = fitted_volumes(load_config(settings=[f"diffusion={method}"]), b, g)
    assert chosen.volumes.tolist() == list(range(b.size))
    assert chosen.notes == []
    limited = fitted_volumes(load_config(settings=[f"diffusion={method}", "diffusion.maximum_b=2000"]), b, g)
    assert limited.volumes.tolist() == np.flatnonzero(b < 2500).tolist()


def test_a_single_shell_of_high_b_is_fitted_with_a_note(rng):
    b, g = gradient_table(rng, 20, (3000.0,), b0=2)
    volumes, (note,) = fitted_volumes(load_config(), b, g)
    assert len(volumes) == b.size
    assert "the tensor underestimates diffusivity" in note


@pytest.mark.parametrize(("low", "count"), [(200.0, 12), (1000.0, 3)])
def test_low_shells_that_do_not_determine_a_tensor_are_not_fitted_alone(rng, low, count):
    few, some = gradient_table(rng, count, (low,), b0=2)
    many, more = gradient_table(rng, 30, (2500.0,), b0=0)
    b, g = np.concatenate([few, many]), np.concatenate([some, more])
    volumes, (note,) = fitted_volumes(load_config(), b, g)
    assert len(volumes) == b.size
    assert "underestimates" in note


def test_the_limit_is_the_users(rng):
    b, g = gradient_table(rng, 12, (1000.0, 2000.0, 3000.0), b0=3)
    chosen = fitted_volumes(load_config(settings=["diffusion.maximum_b=2000"]), b, g)
    assert chosen.volumes.tolist() == np.flatnonzero(b < 2500).tolist()
    assert len(fitted_volumes(load_config(settings=["diffusion.maximum_b=3000"]), b, g).volumes) == b.size
    assert fitted_volumes(load_config(), b, g, (3000.0,)).volumes.tolist() == [
        *range(3), *np.flatnonzero(b > 2500)
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"leaves no weighted volume .*1000, 2000, 3000"):
        fitted_volumes(load_config(settings=["diffusion.maximum_b=400"]), b, g)

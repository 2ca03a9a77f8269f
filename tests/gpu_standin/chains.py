"""A small head, and the comparison of a run on the GPU with the same run on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array, GreSeries
from qsmengine.phantom.head import VirtualHead, virtual_head
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.configuration.model import configured_stages
from qsmengine.stages.registry import methods_of
from tests.contract.running import difference, tolerance

CHI_TOLERANCE = 1e-5
"""[ppm]"""
FITTED = dict.fromkeys(("r2star", "s0", "t2star", "r2star_sd"), 3.0)
"""Factors for maps of a fit that ends where a float32 sum of squares no longer falls: the root of its error."""
SHORT = 5
"""Iterations of a chain that shows that its methods run on a GPU, and does not wait for convergence."""


@cache
def small_head() -> VirtualHead:
    return virtual_head(
        voxel_size=(6.0, 6.0, 6.0), snr=80.0, seed=3, echo_times=(0.005, 0.010, 0.015, 0.020),
        modalities=("gre", "dwi"), scheme=_two_shells(),
    )  # fmt: skip


def _two_shells() -> tuple[np.ndarray, np.ndarray]:
    """b-values [s/mm^2] and directions for every fit."""
    directions = np.random.default_rng(5).normal(size=(44, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions[:4] = 0.0
    return np.repeat([0.0, 1000.0, 2000.0], [4, 16, 24]), directions


def series() -> GreSeries:
    gre = small_head().gre
    assert gre is not None
    return gre


def short_settings() -> dict[str, list[str]]:
    """Settings that name each method of each stage of a reconstruction, with few iterations."""
    chains = {}
    for stage in configured_stages():
        if stage.name == "diffusion":
            continue
        section = stage.section
        for name, method in methods_of(stage.name).items():
            if "components" in method.inputs:
                continue  # no step of a reconstruction
            settings = [f"{section}={name}"]
            if "iterations" in method.params.model_fields:
                settings.append(f"{section}.iterations={SHORT}")
            if "draws" in method.params.model_fields:
                settings.append(f"{section}.draws=2")
            chains[f"{section}-{name}"] = settings + _shortened(settings)
    return chains


def _shortened(settings: list[str]) -> list[str]:
    """Few iterations for the solver that a configuration runs besides the method in question."""
    config = load_config(settings=settings)
    solver = "inversion" if config.method("single_step") is None else "single_step"
    named = any(setting.startswith(f"{solver}=") for setting in settings)
    return [] if named else [f"{solver}.iterations={SHORT}"]


def assert_agree(on_gpu: Mapping[str, Array], on_cpu: Mapping[str, Array], units: Mapping[str, str]) -> None:
    """Masks are identical, chi and fields within 1e-5 ppm, other maps within 1e-4 of the largest value.

    A measurement at the threshold may be an outlier on one device only: one in a thousand at most.
    """
    assert set(on_gpu) == set(on_cpu)
    moved = {name: to_numpy(array) for name, array in on_gpu.items()}
    for name, expected in on_cpu.items():
        found = moved[name]
        assert found.dtype == expected.dtype, name
        if name == "outliers":
            assert (found != expected).mean() <= 1e-3
            continue
        if expected.dtype.kind in "bui":
            np.testing.assert_array_equal(found, expected, err_msg=name)
            continue
        allowed = CHI_TOLERANCE if units.get(name) == "ppm" else tolerance(name, units.get(name), on_cpu)
        allowed *= FITTED.get(name, 1.0)
        assert difference(name, moved, on_cpu) <= allowed, name

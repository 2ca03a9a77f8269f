"""The Python interface takes CuPy arrays, works where they live, and gives what it gives for NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from qsmengine.api import derived as api_derived
from qsmengine.api import reconstruct as api
from qsmengine.api.denoising import denoise
from qsmengine.backend.device import Device, to_numpy
from qsmengine.stages.registry import methods_of
from tests.contract.running import difference, tolerance
from tests.gpu_standin.chains import CHI_TOLERANCE, SHORT, series, small_head

Convert = Callable[[Any], Any]


@cache
def field() -> np.ndarray:
    return small_head().truth["total_field"].array


def _short(stage: str, name: str) -> dict[str, Any]:
    return {"iterations": SHORT} if "iterations" in methods_of(stage)[name].params.model_fields else {}


def _unwrap(name: str, c: Convert) -> Any:
    gre, head = series(), small_head()
    return api.unwrap(c(gre.phase), c(gre.magnitude), c(head.mask), gre.echo_times, gre.grid, method=name)


def _background(name: str, c: Convert) -> Any:
    gre, head = series(), small_head()
    options: dict[str, Any] = {"params": _short("background", name), "method": name}
    if "phase" in methods_of("background")[name].inputs:
        images = {"phase": c(gre.phase), "magnitude": c(gre.magnitude), "echo_times": gre.echo_times}
        return api.remove_background(None, c(head.mask), gre.grid, **images, **options)
    weight = c(head.mask.astype(np.float32)) if "weight?" in methods_of("background")[name].inputs else None
    return api.remove_background(c(field()), c(head.mask), gre.grid, weight=weight, **options)


def _invert(name: str, c: Convert) -> Any:
    head = small_head()
    local = head.truth["local_field"].array
    inputs = methods_of("inversion")[name].inputs
    weight = c(head.truth["m0"].array) if "weight?" in inputs else None
    params = _short("inversion", name)
    return api.invert_dipole(c(local), c(head.mask), head.grid, weight=weight, method=name, params=params)


def _denoise(name: str, c: Convert) -> Any:
    head = small_head()
    assert head.dwi is not None
    images = head.dwi.signal[..., :6]
    return denoise(c(images), head.grid, mask=c(head.mask), method=name)


def _fit(name: str, c: Convert) -> Any:
    dwi = small_head().dwi
    assert dwi is not None
    return api.fit_tensor(c(dwi.signal), dwi.b_values, dwi.b_vectors, dwi.grid, method=name).maps


def _reconstruct(c: Convert) -> Any:
    gre = series()
    config = {"single_step": {"method": "tfi", "iterations": SHORT}}
    return api.reconstruct_qsm(c(gre.magnitude), c(gre.phase), gre.echo_times, gre.grid, config=config).maps


def _reference(c: Convert) -> Any:
    head = small_head()
    return api_derived.reference_chi(c(head.truth["chi"].array), c(head.mask), head.grid)


def _uncertainty(c: Convert) -> Any:
    head = small_head()
    noise = np.full(head.grid.shape, 1e-3, np.float32)
    settings: dict[str, Any] = {"background": "vsharp", "inversion": "tkd", "params": {"draws": 2}}
    return api_derived.estimate_uncertainty(c(field()), c(noise), c(head.mask), head.grid, **settings)


def _intervals(c: Convert) -> Any:
    head, gre = small_head(), series()
    noise = np.full(head.grid.shape, 1e-3, np.float32)
    chi = c(head.truth["chi"].array)
    return api_derived.susceptibility_intervals(
        chi, c(field()), c(noise), c(head.mask), head.grid, magnitude=c(gre.magnitude)
    )


def _weighted(c: Convert) -> Any:
    gre, head = series(), small_head()
    local = c(head.truth["local_field"].array)
    return api_derived.susceptibility_weighted(
        c(gre.magnitude), c(head.mask), gre.echo_times, gre.grid, local_field=local
    )


def _separate(c: Convert) -> Any:
    head = small_head()
    chi, rate = (c(head.truth[name].array) for name in ("chi", "r2star"))
    return api_derived.separate_chi(chi, rate, c(head.mask), head.grid)


CALLS: dict[str, Callable[[Convert], Any]] = {
    f"{stage}-{name}": partial(call, name)
    for stage, call in {"unwrap": _unwrap, "background": _background, "inversion": _invert}.items()
    for name in methods_of(stage)
}
CALLS |= {
    f"denoise-{name}": partial(_denoise, name)
    for name, method in methods_of("denoise").items()
    if "components" in method.inputs
}
CALLS |= {
    "reconstruct_qsm": _reconstruct,
    "reference_chi": _reference,
    "estimate_uncertainty": _uncertainty,
    "susceptibility_intervals": _intervals,
    "susceptibility_weighted": _weighted,
    "separate_chi": _separate,
}
CALLS |= {f"fit_tensor-{name}": partial(_fit, name) for name in ("ols", "nlls")}


def _named(result: Any) -> dict[str, Any]:
    """Arrays of a result by name; numbers are left out."""
    if isinstance(result, tuple):
        result = result._asdict() if hasattr(result, "_asdict") else dict(enumerate(result))
    named = dict(result) if isinstance(result, Mapping) else {"result": result}
    return {str(name): value for name, value in named.items() if np.ndim(value)}


@pytest.mark.parametrize("call", CALLS)
def test_cupy_arrays_give_cupy_arrays_with_the_values_of_numpy_arrays(call: str, gpu: Device) -> None:
    found, expected = _named(CALLS[call](gpu.xp.asarray)), _named(CALLS[call](np.asarray))
    assert set(found) == set(expected)
    moved = {name: to_numpy(array) for name, array in found.items()}
    for name, array in expected.items():
        assert isinstance(found[name], gpu.xp.ndarray), name
        if array.dtype.kind in "bui":
            np.testing.assert_array_equal(moved[name], array, err_msg=name)
            continue
        ppm = call.startswith(("background", "inversion", "estimate", "separate")) or name == "chi"
        allowed = CHI_TOLERANCE if ppm else tolerance(name, None, expected)
        assert difference(name, moved, expected) <= allowed, name

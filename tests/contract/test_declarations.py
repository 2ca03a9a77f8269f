"""What methods declare about themselves."""

from __future__ import annotations

import tracemalloc
from dataclasses import FrozenInstanceError
from inspect import signature
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bench.inputs.heads import GRIDS, Head, head
from qsmengine.backend.device import Device, resolve_device
from qsmengine.stages.method import Method
from qsmengine.stages.registry import get_method, methods_of, stage_names
from tests.contract.pool import pool_use
from tests.contract.running import EVERY, METHODS, array_inputs, method_id, short_params

every_method = pytest.mark.parametrize("method", METHODS, ids=method_id)
UNITS = {"ppm", "rad", "1", "1/s", "s", "mm^2/s", "signal", "arbitrary", "mL/100 g", "mL/100 g/min"}
FIXED = {"tissue"}
"""Stages with tables, which take memory whatever the size of the image."""


def test_names_are_distinct_and_found() -> None:
    names = [(m.stage, m.name) for m in METHODS]
    assert len(set(names)) == len(names)
    assert [get_method(*name) for name in names] == list(METHODS)


@every_method
def test_method_names_its_source_units_and_a_short_summary(method: Method) -> None:
    assert method.doi.startswith("10.")
    assert 10 <= len(method.summary) <= 90
    assert set(method.outputs.values()) <= UNITS
    assert method.bytes_per_voxel > 0


@every_method
def test_a_method_is_declared_iterative_where_it_takes_a_callback(method: Method) -> None:
    assert method.iterative == ("callback" in signature(method.run).parameters)


@every_method
def test_parameters_have_defaults_descriptions_and_no_unknown_names(method: Method) -> None:
    params = method.params()
    for name, info in type(params).model_fields.items():
        assert info.description, name
        with pytest.raises(FrozenInstanceError):
            setattr(params, name, None)
    with pytest.raises(ValidationError, match="nonsense"):
        method.params(nonsense=1)


@pytest.mark.parametrize("method", EVERY, ids=method_id)
def test_peak_memory_stays_within_the_declared_bytes(method: Method) -> None:
    """Memory above inputs and outputs that NumPy reports while a method runs on a head that fills its image.

    A run before it, on a small head, imports the libraries, which are no memory of a method.
    """
    device = resolve_device("cpu", 1)
    _run_on_a_small_head(method, device)
    case = head("large" if method.stage in FIXED else "medium")
    inputs = _inputs_on(device, method, case)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        results = method(inputs, case.grid, short_params(method), device=device)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    peak -= sum(np.asarray(r).nbytes for r in results.values())
    assert peak <= _declared(method, case, inputs)


@pytest.mark.parametrize("method", EVERY, ids=method_id)
def test_peak_memory_on_the_gpu_stays_within_the_declared_bytes(method: Method, gpu: Device) -> None:
    """Memory above inputs and outputs that CuPy's pool gives, work areas of cuFFT included."""
    _run_on_a_small_head(method, gpu)
    gpu.xp.fft.config.clear_plan_cache()
    case = head("medium")
    inputs = _inputs_on(gpu, method, case)
    with pool_use(gpu) as use:
        results = method(inputs, case.grid, short_params(method), device=gpu)
    gpu.xp.fft.config.clear_plan_cache()
    outputs = sum(r.nbytes for r in results.values() if isinstance(r, gpu.xp.ndarray))
    assert use.peak > 0
    assert use.peak - outputs <= _declared(method, case, inputs)


def _run_on_a_small_head(method: Method, device: Device) -> None:
    small = head(next(iter(GRIDS)))
    method(small.inputs(method), small.grid, short_params(method), device=device)


def _inputs_on(device: Device, method: Method, case: Head) -> dict[str, Any]:
    return {
        n: device.asarray(v, v.dtype) if n in array_inputs(method) else v
        for n, v in case.inputs(method).items()
    }


def _declared(method: Method, case: Head, inputs: dict[str, Any]) -> int:
    volumes = max(
        array.shape[3] if array.ndim == 4 else 0 for array in map(inputs.__getitem__, array_inputs(method))
    )
    return method.working_bytes(case.grid, short_params(method), volumes)


def test_methods_are_listed_under_their_own_stage() -> None:
    for stage in stage_names():
        assert {m.stage for m in methods_of(stage).values()} == {stage}

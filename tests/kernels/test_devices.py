"""The shipped CPU variants and the GPU compute what the plain build computes, but for fused multiply-adds."""

from __future__ import annotations

import copy
import ctypes

import numpy as np
import pytest

from bench.inputs.kernels import cases, dimensions, outputs, random_values
from qsmengine.backend.cpu import variants
from qsmengine.backend.device import Device, resolve_device, to_numpy
from qsmengine.backend.kernel import DTYPES, Kernel
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures import all_kernels
from qsmengine.backend.sources import library_candidates, source_directory
from tests.kernels.calling import call
from tests.kernels.tolerances import assert_agree
from tests.kernels.variants import load

TILED = [k for k in all_kernels() if k.source.endswith(".cu")]
CASES = [(kernel, case) for kernel in TILED for case in cases(kernel)]


@pytest.mark.parametrize("kernel", TILED, ids=lambda k: k.name)
@pytest.mark.parametrize("variant", variants())
def test_shipped_variant_agrees_with_the_plain_build(kernel: Kernel, variant: str) -> None:
    path = next(p for p in library_candidates(variant) if p.is_file())
    plain = random_values(kernel, dimensions(kernel, "many tiles"), np.random.default_rng(21))
    shipped = copy.deepcopy(plain)
    call(load(source_directory() / kernel.source, "fast"), kernel, plain)
    call(ctypes.CDLL(str(path)), kernel, shipped, tasks=5, threads=2)
    assert_agree(kernel, plain, shipped)


@pytest.mark.parametrize(("kernel", "case"), CASES, ids=[f"{k.name}-{c}" for k, c in CASES])
def test_gpu_agrees_with_the_cpu(kernel: Kernel, case: str, gpu: Device) -> None:
    on_cpu = random_values(kernel, dimensions(kernel, case), np.random.default_rng(22))
    on_gpu = {
        a.name: gpu.asarray(on_cpu[a.name], DTYPES[a.type]) if a.is_array else on_cpu[a.name]
        for a in kernel.arguments
    }
    launch(kernel, resolve_device("cpu"), **on_cpu)
    launch(kernel, gpu, **on_gpu)
    found = {name: to_numpy(value) for name, value in outputs(kernel, on_gpu).items()}
    assert_agree(kernel, on_cpu, found)

"""The threaded, shuffled build gives the bytes of the ordinary build; outputs are written in full."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from bench.inputs.kernels import cases, dimensions, outputs, random_values
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.signatures import all_kernels
from qsmengine.backend.sources import source_directory
from tests.kernels.calling import call
from tests.kernels.variants import load

TILED = [k for k in all_kernels() if k.source.endswith(".cu")]
CASES = [(kernel, case) for kernel in TILED for case in cases(kernel)]


@pytest.mark.parametrize(("kernel", "case"), CASES, ids=[f"{k.name}-{c}" for k, c in CASES])
def test_shuffled_threads_give_the_bytes_of_the_fast_build(kernel: Kernel, case: str) -> None:
    source = source_directory() / kernel.source
    rng = np.random.default_rng(11)
    ordinary = random_values(kernel, dimensions(kernel, case), rng)
    threaded = copy.deepcopy(ordinary)
    call(load(source, "fast"), kernel, ordinary, tasks=3)
    call(load(source, "threads"), kernel, threaded)
    found = outputs(kernel, threaded)
    for name, array in outputs(kernel, ordinary).items():
        assert array.tobytes() == found[name].tobytes(), name


@pytest.mark.parametrize("kernel", TILED, ids=lambda k: k.name)
def test_tasks_and_threads_do_not_change_the_bytes(kernel: Kernel) -> None:
    library = load(source_directory() / kernel.source, "fast")
    one = random_values(kernel, dimensions(kernel, "many tiles"), np.random.default_rng(5))
    many = copy.deepcopy(one)
    call(library, kernel, one, tasks=1, threads=1)
    call(library, kernel, many, tasks=7, threads=2)
    found = outputs(kernel, many)
    for name, array in outputs(kernel, one).items():
        assert array.tobytes() == found[name].tobytes(), name


@pytest.mark.parametrize("kernel", TILED, ids=lambda k: k.name)
def test_outputs_are_written_in_full(kernel: Kernel) -> None:
    library = load(source_directory() / kernel.source, "fast")
    first = random_values(kernel, dimensions(kernel, "odd"), np.random.default_rng(3))
    second = copy.deepcopy(first)
    pure = [a.name for a in kernel.arguments if a.role == "out"]
    for name in pure:
        second[name][...] = 77
    call(library, kernel, first)
    call(library, kernel, second)
    for name in pure:
        assert first[name].tobytes() == second[name].tobytes(), name

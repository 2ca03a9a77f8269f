"""Every kernel, run as a GPU runs it, gives the bytes of the CPU build and no problem is found."""

from __future__ import annotations

import copy

import pytest

from bench.emulator.cases import Case, cases_of, values_of
from bench.emulator.kernels import CPU_ONLY, EMULATED, emulator_of
from bench.emulator.run import ORDERS
from bench.inputs.kernels import outputs
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.signatures import all_kernels
from qsmengine.backend.sources import source_directory
from tests.emulator.marks import needs_emulator, on_one_worker
from tests.kernels.calling import call
from tests.kernels.variants import load

pytestmark = needs_emulator

RUNS = [on_one_worker(k.source, k, c, name=f"{k.name}-{c.name}") for k in EMULATED for c in cases_of(k)]


@pytest.mark.parametrize(("kernel", "case"), RUNS)
def test_emulated_kernel_gives_the_bytes_of_the_cpu_build(kernel: Kernel, case: Case) -> None:
    emulator = emulator_of(kernel.source)
    expected = values_of(kernel, case, seed=11)
    given = copy.deepcopy(expected)
    call(load(source_directory() / kernel.source, "fast"), kernel, expected, tasks=3)
    for order in ORDERS:
        found = copy.deepcopy(given)
        assert emulator.run(kernel, found, order=order, grid=case.grid) == [], order
        written = outputs(kernel, found)
        for name, array in outputs(kernel, expected).items():
            assert array.tobytes() == written[name].tobytes(), f"{name}, threads in {order} order"


def test_excluded_kernels_exist() -> None:
    assert set(CPU_ONLY) <= {k.name for k in all_kernels()}

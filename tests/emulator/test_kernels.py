"""Every kernel, run as a GPU runs it, gives the bytes of the CPU build and no problem is found.

The threads run in one order per case, in turn. `make emulate` sets EVERY_ORDER: every case runs in all three.
"""

from __future__ import annotations

import copy
import os

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

EVERY_ORDER = "EVERY_ORDER" in os.environ


def orders_of(number: int) -> tuple[str, ...]:
    """Orders of the threads in a kernel's case of this number."""
    return tuple(ORDERS) if EVERY_ORDER else (list(ORDERS)[number % len(ORDERS)],)


RUNS = [
    on_one_worker(k.source, k, c, orders_of(i), name=f"{k.name}-{c.name}")
    for k in EMULATED
    for i, c in enumerate(cases_of(k))
]


@pytest.mark.parametrize(("kernel", "case", "orders"), RUNS)
def test_emulated_kernel_gives_the_bytes_of_the_cpu_build(
    kernel: Kernel, case: Case, orders: tuple[str, ...]
) -> None:
    emulator = emulator_of(kernel.source)
    expected = values_of(kernel, case, seed=11)
    given = copy.deepcopy(expected)
    call(load(source_directory() / kernel.source, "fast"), kernel, expected, tasks=3)
    for order in orders:
        found = copy.deepcopy(given)
        assert emulator.run(kernel, found, order=order, grid=case.grid) == [], order
        written = outputs(kernel, found)
        for name, array in outputs(kernel, expected).items():
            assert array.tobytes() == written[name].tobytes(), f"{name}, threads in {order} order"


def test_every_kernel_runs_in_every_order() -> None:
    ran = {(kernel.name, order) for kernel, _, orders in (run.values for run in RUNS) for order in orders}
    assert ran == {(k.name, order) for k in EMULATED for order in ORDERS}


def test_excluded_kernels_exist() -> None:
    assert set(CPU_ONLY) <= {k.name for k in all_kernels()}

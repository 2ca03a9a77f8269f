"""Every planted fault is found, in every order of the threads."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from bench.emulator.build import build
from bench.emulator.run import ORDERS, Emulator
from bench.inputs.kernels import random_values
from tests.emulator.faults import FAULTS, KERNELS, UNINITIALISED
from tests.emulator.marks import needs_emulator

SOURCE = Path(__file__).with_name("faults.cu")
pytestmark = [needs_emulator, pytest.mark.xdist_group("emulator faults.cu")]


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    return Emulator(build(SOURCE, list(KERNELS.values())))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_found(name: str, order: str, emulator: Emulator) -> None:
    values = random_values(KERNELS[name], {"rows": 8, "n": 300}, np.random.default_rng(1))
    problems = emulator.run(KERNELS[name], values, order=order, grid=4)
    assert any(problem.startswith(FAULTS[name]) for problem in problems), problems


def test_portable_fibers_find_the_same(emulator: Emulator) -> None:
    portable = Emulator(build(SOURCE, list(KERNELS.values()), portable=True))
    for kernel in KERNELS.values():
        values = random_values(kernel, {"rows": 8, "n": 300}, np.random.default_rng(1))
        other = copy.deepcopy(values)
        assert portable.run(kernel, values, grid=4) == emulator.run(kernel, other, grid=4)
        assert values["y"].tobytes() == other["y"].tobytes()


def test_problem_carries_the_line(emulator: Emulator) -> None:
    values = random_values(KERNELS["unwritten_output"], {"rows": 8, "n": 300}, np.random.default_rng(1))
    (problem,) = emulator.run(KERNELS["unwritten_output"], values)
    number = int(problem.rpartition(":")[2].rstrip(")"))
    assert "y[t * n + i] += x[t * n + i];" in SOURCE.read_text(encoding="utf-8").splitlines()[number - 1]


def test_unwritten_private_numbers_are_poisoned(emulator: Emulator) -> None:
    kernel = KERNELS[UNINITIALISED]
    values = random_values(kernel, {"rows": 256, "n": 300}, np.random.default_rng(1))
    emulator.run(kernel, values)
    assert not np.any((values["y"] > 0.0) & (values["y"] < 2.0))

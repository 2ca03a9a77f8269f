"""Lanes of a warp access memory side by side, or there is a written reason why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.emulator.access import ACCEPTED, GATHERING, LEAST, accesses, inefficient
from bench.emulator.build import build
from bench.emulator.kernels import EMULATED
from bench.emulator.run import Emulator
from bench.inputs.kernels import random_values
from qsmengine.backend.kernel import Kernel
from tests.emulator.marks import needs_emulator, on_one_worker
from tests.emulator.patterns import KERNELS, PASSES, SCALAR, SECTORS

pytestmark = needs_emulator

CHECKED = [k for k in EMULATED if k.source not in GATHERING]


@pytest.mark.parametrize("kernel", [on_one_worker(k.source, k, name=k.name) for k in CHECKED])
def test_accesses_are_efficient_or_accepted(kernel: Kernel) -> None:
    found = {a.argument: f"{a.place} uses {a.efficiency:.0%}" for a in inefficient(accesses(kernel))}
    accepted = {argument for name, argument in ACCEPTED if name == kernel.name}
    assert {k: v for k, v in found.items() if k not in accepted} == {}, f"below {LEAST:.0%}"
    assert accepted <= set(found), "accepted, but efficient"


def test_accepted_accesses_are_of_kernels_that_exist() -> None:
    arguments = {(k.name, a.name) for k in EMULATED for a in k.arguments if a.is_array}
    assert set(ACCEPTED) <= arguments | {(k.name, "scratch") for k in EMULATED}
    assert set(GATHERING) <= {k.source for k in EMULATED}


@pytest.fixture(scope="module")
def patterns() -> Emulator:
    return Emulator(build(Path(__file__).with_name("patterns.cu"), list(KERNELS.values())))


def _reads(name: str, emulator: Emulator, argument: int) -> Any:
    values = random_values(KERNELS[name], {"n": 4096}, np.random.default_rng(2))
    rows, _ = emulator.requests(KERNELS[name], values)
    (row,) = rows[(rows["argument"] == argument) & (rows["write"] == 0)]
    return row


@pytest.mark.xdist_group("emulator patterns.cu")
class TestKnownPatterns:
    @pytest.mark.parametrize("name", SECTORS)
    def test_sectors_of_a_request(self, name: str, patterns: Emulator) -> None:
        row = _reads(name, patterns, 0)
        assert row["requests"] == 4096 // 32
        assert row["units"] == pytest.approx(SECTORS[name] * row["requests"], rel=0.01)
        assert row["useful"] == 4 * 4096

    def test_one_address_for_all_lanes_is_no_request_for_an_array(self, patterns: Emulator) -> None:
        row = _reads(SCALAR, patterns, 0)
        assert (row["requests"], row["scalars"]) == (0, 4096 // 32)

    @pytest.mark.parametrize("name", PASSES)
    def test_passes_over_the_banks(self, name: str, patterns: Emulator) -> None:
        row = _reads(name, patterns, -1)
        assert row["requests"] == 4096 // 32
        assert row["units"] == PASSES[name] * row["useful"]

"""With fused multiply-adds and subnormals flushed, as on a GPU, kernels agree with the shipped library.

The compiler fuses other operations than a GPU's does: what it changes shows how much rounding matters. This
sets the tolerances of `tests/kernels/tolerances.py`, with which the GPU's results are compared.
"""

from __future__ import annotations

import copy
import platform

import numpy as np
import pytest

from bench.emulator.kernels import EMULATED, emulator_of
from bench.inputs.kernels import SIZES, dimensions, random_values
from qsmengine.backend.cpu import variants
from qsmengine.backend.device import cpu
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.launch import launch
from tests.emulator.marks import needs_emulator, on_one_worker
from tests.kernels.tolerances import LARGER, USUAL, largest_error, tolerance

FUSES = platform.machine() != "x86_64" or "v3" in variants()
MARGIN = 3
"""A GPU may round that much worse than what is measured here."""

pytestmark = [
    needs_emulator,
    pytest.mark.skipif(not FUSES, reason="this processor has no fused multiply-add"),
]


def _measured(kernel: Kernel, share: float) -> float:
    """Largest error over sizes and seeds, but for `share` of the voxels."""
    errors = []
    distinct = {tuple(dimensions(kernel, case).items()): case for case in SIZES}
    for case in distinct.values():
        for seed in (22, 23, 24):
            expected = random_values(kernel, dimensions(kernel, case), np.random.default_rng(seed))
            found = copy.deepcopy(expected)
            launch(kernel, cpu(1), **expected)
            emulator_of(kernel.source, fused=True).run(kernel, found, flush=True)
            errors.append(largest_error(kernel, expected, found, share))
    return max(errors)


@pytest.mark.parametrize("kernel", [on_one_worker(f"fused {k.source}", k, name=k.name) for k in EMULATED])
def test_fused_kernel_is_within_the_tolerance_of_a_gpu(kernel: Kernel) -> None:
    allowed = tolerance(kernel)
    assert MARGIN * _measured(kernel, allowed.share) <= allowed.error


@pytest.mark.parametrize("name", sorted(LARGER))
def test_larger_tolerance_is_needed(name: str) -> None:
    (kernel,) = (k for k in EMULATED if k.name == name)
    assert MARGIN * _measured(kernel, USUAL.share) > USUAL.error

"""Sizes of the parts: for measurements, and for a rehearsal of the script."""

from __future__ import annotations

from typing import Any

KERNEL_TESTS = "tests/kernels/test_devices.py"
EARNEST: dict[str, Any] = {
    "head": [256, 256, 160],
    "presets": ["accurate", "fast"],
    "repeats": 3,
    "mnlm": [256, 256, 160],
    "tensor": {"shape": [112, 112, 60], "directions": 64},
    "tensor_methods": ["ols", "wls", "iwls", "nlls", "restore", "constrained"],
    "tfce": {"shape": [60, 72, 60], "subjects": 40, "permutations": 100},
    "cohort": {"voxel": 1.0, "sessions": 4},
    "tests": [
        [KERNEL_TESTS, "-k", "gpu_agrees"],
        ["tests/contract"],
        [
            "tests/kernels",
            "tests/backend",
            "tests/ops",
            "tests/solvers",
            "tests/stages",
            "-k",
            "not gpu_agrees",
        ],
        ["tests/pipeline", "tests/cli", "tests/cohort"],
    ],
    "sanitized": [KERNEL_TESTS, "-k", "gpu_agrees and (odd or many)"],
    "profiled": 5,
}
REHEARSAL: dict[str, Any] = {
    "head": [40, 40, 28],
    "presets": ["fast"],
    "repeats": 1,
    "mnlm": [12, 12, 10],
    "tensor": {"shape": [6, 6, 6], "directions": 12},
    "tensor_methods": ["ols"],
    "tfce": {"shape": [6, 6, 6], "subjects": 10, "permutations": 20},
    "cohort": {"voxel": 6.0, "sessions": 1},
    "tests": [[KERNEL_TESTS, "-k", "gpu_agrees and thin and laplacian"]],
    "sanitized": [KERNEL_TESTS, "-k", "gpu_agrees and thin and laplacian"],
    "profiled": 1,
}
"""Two orders of magnitude smaller, and one of each kind."""

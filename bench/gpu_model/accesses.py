"""Efficiency of the kernels' accesses to global memory, from the block emulator's traces.

The emulator belongs to the tests; it runs in a process of its own, and a file keeps what it found.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bench.machine import ROOT
from qsmengine.errors import QsmengineError

PROGRAM = """
import json
from tests.emulator.access import accesses, combined
from tests.emulator.kernels import EMULATED
print(json.dumps({k.name: combined(accesses(k), "global").efficiency for k in EMULATED}))
"""


class EmulatorError(QsmengineError):
    """The emulator could not run."""

    exit_code = 1


def trace() -> dict[str, float]:
    """Bytes that each kernel's requests ask for over the bytes that they fetch."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise EmulatorError(done.stderr.strip())
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found

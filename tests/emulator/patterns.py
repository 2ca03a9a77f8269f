"""The kernels of patterns.cu: what a request of a warp takes."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

SECTORS = {"side_by_side": 4, "shifted_by_one": 5, "every_eighth": 32}
"""Sectors a warp's request for x takes; every eighth number lies in a sector of its own."""
PASSES = {"by_columns": 32, "doubles": 1}
"""Passes over the banks that a read of the scratch takes, times the fewest."""
SCALAR = "one_for_all"

KERNELS = {
    name: Kernel(name, "patterns.cu", "x: in f32 [n]\ny: out f32 [n]", items="n")
    for name in (*SECTORS, *PASSES, SCALAR)
}

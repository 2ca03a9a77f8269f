"""Signatures of kernels/components.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

_RUNS = """
    mask: in u8 [nx ny nz]
    back: in u8 [nx ny nz]
    parent: inout i32 [nx ny nz]
"""

COMPONENTS_RUNS = Kernel(
    "components_runs",
    "components.cu",
    """
    mask: in u8 [nx ny nz]
    back: out u8 [nx ny nz]
    parent: out i32 [nx ny nz]
    """,
    items="nx ny nz",
)

COMPONENTS_JOIN = Kernel("components_join", "components.cu", _RUNS, items="nx ny nz")

COMPONENTS_SIZES = Kernel(
    "components_sizes", "components.cu", f"{_RUNS}    size: inout i32 [nx ny nz]", items="nx ny nz"
)

COMPONENTS_BORDER = Kernel(
    "components_border", "components.cu", f"{_RUNS}    chosen: inout u8 [nx ny nz]", items="nx ny nz"
)

COMPONENTS_PICK = Kernel(
    "components_pick",
    "components.cu",
    """
    mask: in u8 [n]
    back: in u8 [n]
    parent: in i32 [n]
    chosen: in u8 [n]
    kept: out u8 [n]
    """,
    items="n",
)

"""Signatures of kernels/reliability.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

FIELD_JUMPS = Kernel(
    "field_jumps",
    "reliability.cu",
    """
    field: in f32 [nx ny nz]
    mask: in u8 [nx ny nz]
    kept: out u8 [nx ny nz]
    rim_limit: f32
    inner_limit: f32
    """,
    items="nx ny nz",
)

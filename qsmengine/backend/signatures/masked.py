"""Signatures of kernels/masked.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

MASKED_MULTIPLY = Kernel(
    "masked_multiply",
    "masked.cu",
    """
    a: in f32 [nx ny nz]
    b: in f32 [nx ny nz]
    out: out f32 [nx ny nz]
    """,
    items="nx ny nz",
)

MASKED_SCALE = Kernel(
    "masked_scale",
    "masked.cu",
    """
    y: inout f32 [nx ny nz]
    w: in f32 [nx ny nz]
    """,
    items="nx ny nz",
)

MASKED_FILTER = Kernel(
    "masked_filter",
    "masked.cu",
    """
    spectrum: inout c64 [nx ny nh]
    response: in f32 [nx ny nh]
    scale: f32
    """,
    items="nx ny nh",
)

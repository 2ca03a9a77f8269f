"""Signatures of kernels/complex_fit.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

COMPLEX_FIELD_FIT = Kernel(
    "complex_field_fit",
    "complex_fit.cu",
    """
    phase: in f32 [echo n]
    magnitude: in f32 [echo n]
    mask: in u8 [n]
    times: in f32 [echo]
    slope: out f32 [n]
    information: out f32 [n]
    residual: out f32 [n]
    scale: f32
    floor: f32
    with_offset: i32
    iterations: i32
    """,
    items="n",
)

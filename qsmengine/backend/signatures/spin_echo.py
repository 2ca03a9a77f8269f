"""Signatures of kernels/spin_echo.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

SPIN_ECHO_FIT = Kernel(
    "spin_echo_fit",
    "spin_echo.cu",
    """
    signal: in f32 [echo n]
    mask: in u8 [n]
    table: in f32 [echo decays fields]
    field: in f32 [n]
    decay: out f32 [n]
    fitted: out f32 [n]
    amplitude: out f32 [n]
    variance: out f32 [n]
    residual: out f32 [n]
    scale: f32
    highest: f32
    with_field: i32
    stride: i32
    field_stride: i32
    steps: i32
    """,
    items="n",
)

"""Signature of kernels/balanced.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

BALANCED_FIT = Kernel(
    "balanced_fit",
    "balanced.cu",
    """
    signal: in f32 [volume n]
    mask: in u8 [n]
    r1: in f32 [n]
    b1: in f32 [n]
    field: in f32 [n]
    known: in f32 [n]
    flips: in f32 [volume]
    increments: in f32 [volume]
    repetitions: in f32 [volume]
    times: in f32 [volume]
    r2: out f32 [n]
    amplitude: out f32 [n]
    variance: out f32 [n]
    residual: out f32 [n]
    used: out f32 [n]
    scale: f32
    lowest: f32
    highest: f32
    with_amplitude: i32
    fewest: i32
    starts: i32
    steps: i32
    """,
    items="n",
)

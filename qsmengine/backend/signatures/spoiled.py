"""Signatures of kernels/spoiled.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

SPOILED_DECAY = Kernel(
    "spoiled_decay",
    "spoiled.cu",
    """
    signal: in f32 [volume n]
    mask: in u8 [n]
    times: in f32 [volume]
    echoes: in i32 [angle]
    r2star: out f32 [n]
    information: out f32 [n]
    residual: out f32 [n]
    scale: f32
    largest: f32
    """,
    items="n",
)

SPOILED_FIT = Kernel(
    "spoiled_fit",
    "spoiled.cu",
    """
    signal: in f32 [volume n]
    mask: in u8 [n]
    b1: in f32 [n]
    r2star: in f32 [n]
    times: in f32 [volume]
    echoes: in i32 [angle]
    flips: in f32 [angle]
    repetitions: in f32 [angle]
    r1: out f32 [n]
    amplitude: out f32 [n]
    r1_variance: out f32 [n]
    log_variance: out f32 [n]
    residual: out f32 [n]
    scale: f32
    lowest: f32
    highest: f32
    passes: i32
    steps: i32
    decays: i32
    """,
    items="n",
)

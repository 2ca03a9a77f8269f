"""Signatures of kernels/decay_fit.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

LOG_LINEAR_DECAY = Kernel(
    "log_linear_decay",
    "decay_fit.cu",
    """
    magnitude: in f32 [echo n]
    mask: in u8 [n]
    times: in f32 [echo]
    r2star: out f32 [n]
    t2star: out f32 [n]
    s0: out f32 [n]
    information: out f32 [n]
    residual: out f32 [n]
    scale: f32
    noise_power: f32
    largest: f32
    longest: f32
    """,
    items="n",
)

NONLINEAR_DECAY = Kernel(
    "nonlinear_decay",
    "decay_fit.cu",
    """
    magnitude: in f32 [echo n]
    mask: in u8 [n]
    times: in f32 [echo]
    r2star: inout f32 [n]
    t2star: out f32 [n]
    s0: inout f32 [n]
    information: out f32 [n]
    residual: out f32 [n]
    scale: f32
    noise: f32
    largest: f32
    longest: f32
    iterations: i32
    """,
    items="n",
)

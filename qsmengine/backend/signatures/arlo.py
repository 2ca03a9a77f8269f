"""Signatures of kernels/arlo.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

ARLO_DECAY = Kernel(
    "arlo_decay",
    "arlo.cu",
    """
    magnitude: in f32 [echo n]
    mask: in u8 [n]
    times: in f32 [echo]
    coefficients: in f32 [echo 3]
    r2star: out f32 [n]
    t2star: out f32 [n]
    s0: out f32 [n]
    scale: f32
    largest: f32
    longest: f32
    """,
    items="n",
)

TWO_ECHO_DECAY = Kernel(
    "two_echo_decay",
    "arlo.cu",
    """
    first: in f32 [n]
    second: in f32 [n]
    mask: in u8 [n]
    r2star: out f32 [n]
    t2star: out f32 [n]
    s0: out f32 [n]
    time1: f32
    time2: f32
    largest: f32
    longest: f32
    """,
    items="n",
)

"""Signatures of kernels/romeo.cu and kernels/romeo.cpp."""

from __future__ import annotations

from qsmengine.backend.host import HostFunction
from qsmengine.backend.kernel import Kernel

ROMEO_WEIGHTS = Kernel(
    "romeo_weights",
    "romeo.cu",
    """
    phase: in f32 [nx ny nz]
    other: in f32 [nx ny nz]
    magnitude: in f32 [nx ny nz]
    mask: in u8 [nx ny nz]
    cost: out u8 [3 nx ny nz]
    ratio: f32
    bright: f32
    second: i32
    magnitude_weights: i32
    """,
    items="nx ny nz",
)

ROMEO_QUALITY = Kernel(
    "romeo_quality",
    "romeo.cu",
    """
    cost: in u8 [3 nx ny nz]
    quality: out f32 [nx ny nz]
    """,
    items="nx ny nz",
)

ROMEO_TEMPORAL = Kernel(
    "romeo_temporal",
    "romeo.cu",
    """
    phase: in f32 [n]
    reference: in f32 [n]
    mask: in u8 [n]
    unwrapped: out f32 [n]
    state: out u8 [n]
    ratio: f32
    limit: f32
    """,
    items="n",
)

ROMEO_GROW = HostFunction(
    "romeo_grow",
    "romeo.cpp",
    """
    other: in f32 [nx ny nz]
    cost: in u8 [3 nx ny nz]
    state: in u8 [nx ny nz]
    unwrapped: inout f32 [nx ny nz]
    ratio: f64
    second: i32
    """,
)

ROMEO_REGROW = HostFunction(
    "romeo_regrow",
    "romeo.cpp",
    """
    cost: in u8 [3 nx ny nz]
    state: in u8 [nx ny nz]
    unwrapped: inout f32 [nx ny nz]
    """,
)

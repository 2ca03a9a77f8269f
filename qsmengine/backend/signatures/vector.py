"""Signatures of kernels/vector.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

VEC_DOT = Kernel(
    "vec_dot",
    "vector.cu",
    """
    a: in f32 [n]
    b: in f32 [n]
    partial: out f64 [blocks]
    """,
    items="n",
)

VEC_STEP = Kernel(
    "vec_step",
    "vector.cu",
    """
    y: inout f32 [n]
    x: in f32 [n]
    step: in f64 [1]
    sign: f32
    partial: out f64 [blocks]
    """,
    items="n",
)

VEC_ADVANCE = Kernel(
    "vec_advance",
    "vector.cu",
    """
    x: inout f32 [n]
    p: inout f32 [n]
    s: in f32 [n]
    alpha: in f64 [1]
    beta: in f64 [1]
    """,
    items="n",
)

VEC_DAMP = Kernel(
    "vec_damp",
    "vector.cu",
    """
    s: inout f32 [n]
    x: in f32 [n]
    p: in f32 [n]
    alpha: in f64 [1]
    damping: f32
    """,
    items="n",
)

"""Signatures of kernels/merit.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

MERIT_RESIDUAL = Kernel(
    "merit_residual",
    "merit.cu",
    """
    ax: inout f32 [nx ny nz]
    f: in f32 [nx ny nz]
    w2: in f32 [nx ny nz]
    radians: f32
    """,
    items="nx ny nz",
)

MERIT_WEIGHT = Kernel(
    "merit_weight",
    "merit.cu",
    """
    w2: inout f32 [nx ny nz]
    residual: in f32 [nx ny nz]
    inverse_cut: f32
    """,
    items="nx ny nz",
)

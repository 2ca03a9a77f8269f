"""Signatures of kernels/laplacian.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

WRAPPED_LAPLACIAN = Kernel(
    "wrapped_laplacian",
    "laplacian.cu",
    """
    phase: in f32 [nx ny nz]
    mask: in u8 [nx ny nz]
    laplacian: out f32 [nx ny nz]
    wx: f32
    wy: f32
    wz: f32
    """,
    items="nx ny nz",
)

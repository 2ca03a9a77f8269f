"""Signatures of kernels/shim.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

SHIM_MOMENTS = Kernel(
    "shim_moments",
    "shim.cu",
    """
    weight: in f32 [nx ny nz]
    field: in f32 [nx ny nz]
    moments: out f64 [3 nx ny]
    z0: f32
    dz: f32
    """,
    items="nx ny nz",
)

SHIM_SUBTRACT = Kernel(
    "shim_subtract",
    "shim.cu",
    """
    field: inout f32 [nx ny nz]
    weight: in f32 [nx ny nz]
    coefficients: in f64 [27]
    x0: f32
    dx: f32
    y0: f32
    dy: f32
    z0: f32
    dz: f32
    """,
    items="nx ny nz",
)

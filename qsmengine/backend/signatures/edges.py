"""Signatures of kernels/edges.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

EDGE_DIFFERENCES = Kernel(
    "edge_differences",
    "edges.cu",
    """
    x: in f32 [nx ny nz]
    w: in f32 [3 nx ny nz]
    d: out f32 [3 nx ny nz]
    hx: f32
    hy: f32
    hz: f32
    """,
    items="nx ny nz",
)

EDGE_ADJOINT = Kernel(
    "edge_adjoint",
    "edges.cu",
    """
    d: in f32 [3 nx ny nz]
    w: in f32 [3 nx ny nz]
    x: out f32 [nx ny nz]
    hx: f32
    hy: f32
    hz: f32
    """,
    items="nx ny nz",
)

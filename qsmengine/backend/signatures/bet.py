"""Signatures of kernels/bet.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

BET_EVOLVE = Kernel(
    "bet_evolve",
    "bet.cu",
    """
    image: in f32 [nx ny nz]
    ring: in i32 [nv 6]
    fraction: in f32 [nv]
    vertices: inout f32 [nv 3]
    next: inout f32 [nv 3]
    px: f32
    py: f32
    pz: f32
    low: f32
    threshold: f32
    middle: f32
    spacing: f32
    near: i32
    far: i32
    slope: f32
    centre: f32
    per_edge: f32
    iterations: i32
    """,
    items="nv",
)

BET_CROSS = Kernel(
    "bet_cross",
    "bet.cu",
    """
    vertices: in f32 [nv 3]
    triangles: in i32 [nt 3]
    crossings: inout i32 [nx ny nz]
    """,
    items="nt",
)

BET_INSIDE = Kernel(
    "bet_inside",
    "bet.cu",
    """
    crossings: in i32 [nx ny nz]
    mask: out u8 [nx ny nz]
    """,
    items="ny nz",
)

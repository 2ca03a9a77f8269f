"""Signatures of kernels/bet.cpp."""

from __future__ import annotations

from qsmengine.backend.host import HostFunction

BET_EVOLVE = HostFunction(
    "bet_evolve",
    "bet.cpp",
    """
    image: in f32 [nx ny nz]
    ring: in i32 [n 6]
    fraction: in f64 [n]
    vertices: inout f64 [n 3]
    size: in f64 [3]
    levels: in f64 [3]
    reach: in f64 [2]
    radii: in f64 [2]
    spacing: f64
    iterations: i32
    """,
)

BET_FILL = HostFunction(
    "bet_fill",
    "bet.cpp",
    """
    vertices: in f64 [n 3]
    triangles: in i32 [m 3]
    mask: out u8 [nx ny nz]
    """,
)

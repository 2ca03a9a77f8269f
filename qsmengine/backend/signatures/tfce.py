"""Signatures of kernels/tfce.cpp."""

from __future__ import annotations

from qsmengine.backend.host import HostFunction

TFCE_ENHANCE = HostFunction(
    "tfce_enhance",
    "tfce.cpp",
    """
    stat: in f32 [maps n]
    voxels: in i32 [n]
    offsets: in i32 [neighbours]
    enhanced: out f32 [maps n]
    box_size: i64
    extent: f64
    height: f64
    threads: i32
    """,
)

TFCE_MAXIMA = HostFunction(
    "tfce_maxima",
    "tfce.cpp",
    """
    stat: in f32 [maps n]
    voxels: in i32 [n]
    offsets: in i32 [neighbours]
    maxima: out f32 [maps 2]
    box_size: i64
    extent: f64
    height: f64
    threads: i32
    """,
)

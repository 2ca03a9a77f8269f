"""Signatures of kernels/window.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

WINDOW_SUM = Kernel(
    "window_sum",
    "window.cu",
    """
    x: in f32 [nx ny nz]
    weights: in f64 [taps]
    places: in i32 [reached]
    sum: out f32 [nx ny nz]
    axis: i32
    """,
    items="nx ny nz",
)

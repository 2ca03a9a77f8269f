"""Signature of kernels/nearest.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

NEAREST_ALONG = Kernel(
    "nearest_along",
    "nearest.cu",
    """
    gap: in u8 [nx ny nz]
    source: in i32 [nx ny nz]
    square: in i32 [nx ny nz]
    found: out i32 [nx ny nz]
    distance: out i32 [nx ny nz]
    axis: i32
    """,
    items="nx ny nz",
)

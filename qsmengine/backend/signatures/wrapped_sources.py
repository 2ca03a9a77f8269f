"""Signature of kernels/wrapped_sources.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

WRAPPED_SOURCES = Kernel(
    "wrapped_sources",
    "wrapped_sources.cu",
    """
    phase: in f32 [echo nx ny nz]
    magnitude: in f32 [echo nx ny nz]
    inside: in u8 [nx ny nz]
    times: in f32 [echo]
    sources: out f32 [nx ny nz]
    scale: f32
    fx: f32
    fy: f32
    fz: f32
    exy: f32
    exz: f32
    eyz: f32
    """,
    items="nx ny nz",
)

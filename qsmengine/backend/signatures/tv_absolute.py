"""Signatures of kernels/tv_absolute.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

TV_DATA_STEP_ABSOLUTE = Kernel(
    "tv_data_step_absolute",
    "tv_absolute.cu",
    """
    ax: inout f32 [nx ny nz]
    u: inout f32 [nx ny nz]
    f: in f32 [nx ny nz]
    w2: in f32 [nx ny nz]
    mu: f32
    relax: f32
    """,
    items="nx ny nz",
)

TV_DATA_STEP_ABSOLUTE_PHASE = Kernel(
    "tv_data_step_absolute_phase",
    "tv_absolute.cu",
    """
    ax: inout f32 [nx ny nz]
    u: inout f32 [nx ny nz]
    f: in f32 [nx ny nz]
    w2: in f32 [nx ny nz]
    mu: f32
    relax: f32
    radians: f32
    """,
    items="nx ny nz",
)

"""Signatures of kernels/tv.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

TV_GRADIENT_STEP = Kernel(
    "tv_gradient_step",
    "tv.cu",
    """
    x: in f32 [nx ny nz]
    g: in f32 [3 nx ny nz]
    g_out: out f32 [3 nx ny nz]
    adjoint: out f32 [nx ny nz]
    t: f32
    hx: f32
    hy: f32
    hz: f32
    relax: f32
    """,
    items="nx ny nz",
)

TV_GRADIENT_STEP_FACES = Kernel(
    "tv_gradient_step_faces",
    "tv.cu",
    """
    x: in f32 [nx ny nz]
    g: in f32 [3 nx ny nz]
    faces: in u8 [nx ny nz]
    g_out: out f32 [3 nx ny nz]
    adjoint: out f32 [nx ny nz]
    t: f32
    hx: f32
    hy: f32
    hz: f32
    relax: f32
    """,
    items="nx ny nz",
)

TV_DATA_STEP = Kernel(
    "tv_data_step",
    "tv.cu",
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

TV_DATA_STEP_NONLINEAR = Kernel(
    "tv_data_step_nonlinear",
    "tv.cu",
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

TV_KSPACE_STEP = Kernel(
    "tv_kspace_step",
    "tv.cu",
    """
    gradient: inout c64 [nx ny nh]
    data: inout c64 [nx ny nh]
    response: in f32 [nx ny nh]
    ex: in f32 [nx]
    ey: in f32 [ny]
    ez: in f32 [nh]
    mu1: f32
    mu2: f32
    relax: f32
    scale: f32
    """,
    items="nx ny nh",
)

TV_HARMONIC_KSPACE_STEP = Kernel(
    "tv_harmonic_kspace_step",
    "tv.cu",
    """
    gradient: inout c64 [nx ny nh]
    data: inout c64 [nx ny nh]
    harmonic: inout c64 [nx ny nh]
    response: in f32 [nx ny nh]
    ex: in f32 [nx]
    ey: in f32 [ny]
    ez: in f32 [nh]
    mu1: f32
    mu2: f32
    mu3: f32
    pull: f32
    relax: f32
    scale: f32
    """,
    items="nx ny nh",
)

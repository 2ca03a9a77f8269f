"""Signatures of kernels/tgv.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

TGV_SPLIT_STEP = Kernel(
    "tgv_split_step",
    "tgv.cu",
    """
    x: in f32 [nx ny nz]
    v: in f32 [3 nx ny nz]
    p: inout f32 [3 nx ny nz]
    q: inout f32 [6 nx ny nz]
    r: out f32 [3 nx ny nz]
    s: out f32 [6 nx ny nz]
    t1: f32
    t0: f32
    hx: f32
    hy: f32
    hz: f32
    """,
    items="nx ny nz",
)

TGV_ADJOINT = Kernel(
    "tgv_adjoint",
    "tgv.cu",
    """
    r: in f32 [3 nx ny nz]
    s: in f32 [6 nx ny nz]
    x: out f32 [nx ny nz]
    v: out f32 [3 nx ny nz]
    mu1: f32
    mu0: f32
    hx: f32
    hy: f32
    hz: f32
    """,
    items="nx ny nz",
)

TGV_KSPACE_STEP = Kernel(
    "tgv_kspace_step",
    "tgv.cu",
    """
    gradient: inout c64 [nx ny nh]
    data: inout c64 [nx ny nh]
    v: inout c64 [3 nx ny nh]
    response: in f32 [nx ny nh]
    ex: in c64 [nx]
    ey: in c64 [ny]
    ez: in c64 [nh]
    mu1: f32
    mu2: f32
    mu0: f32
    scale: f32
    """,
    items="nx ny nh",
)

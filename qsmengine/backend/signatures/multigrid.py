"""Signatures of kernels/multigrid.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

MG_COMBINE = Kernel(
    "mg_combine",
    "multigrid.cu",
    """
    v: in f32 [nx ny nz]
    b: in f32 [nx ny nz]
    inside: in u8 [nx ny nz]
    out: out f32 [nx ny nz]
    keep: f32
    add: f32
    omega: f32
    ax: f32
    ay: f32
    az: f32
    """,
    items="nx ny nz",
)

MG_COMPACT = Kernel(
    "mg_compact",
    "multigrid.cu",
    """
    v: in f32 [nx ny nz]
    inside: in u8 [nx ny nz]
    out: out f32 [nx ny nz]
    centre: f32
    fx: f32
    fy: f32
    fz: f32
    exy: f32
    exz: f32
    eyz: f32
    """,
    items="nx ny nz",
)

MG_RESTRICT = Kernel(
    "mg_restrict",
    "multigrid.cu",
    """
    fine: in f32 [nx ny nz]
    inside: in u8 [cx cy cz]
    coarse: out f32 [cx cy cz]
    fx: i32
    fy: i32
    fz: i32
    """,
    items="cx cy cz",
)

MG_PROLONG = Kernel(
    "mg_prolong",
    "multigrid.cu",
    """
    fine: inout f32 [nx ny nz]
    inside: in u8 [nx ny nz]
    coarse: in f32 [cx cy cz]
    fx: i32
    fy: i32
    fz: i32
    """,
    items="nx ny nz",
)

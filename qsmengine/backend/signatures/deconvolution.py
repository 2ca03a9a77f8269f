"""Signatures of kernels/deconvolution.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

TRUNCATED_RESIDUE = Kernel(
    "truncated_residue",
    "deconvolution.cu",
    """
    change: in f32 [frame n]
    mask: in u8 [n]
    cosine: in f32 [period]
    sine: in f32 [period]
    re: in f32 [bins]
    im: in f32 [bins]
    energy: in f32 [bins]
    order: in i32 [bins]
    dropped: in i32 [levels]
    scratch: inout f32 [room]
    height: inout f32 [n]
    place: inout f32 [n]
    level: inout f32 [n]
    missed: inout f32 [n]
    limit: f32
    begin: i64
    end: i64
    """,
    items="n",
)

TIKHONOV_RESIDUE = Kernel(
    "tikhonov_residue",
    "deconvolution.cu",
    """
    change: in f32 [frame n]
    mask: in u8 [n]
    cosine: in f32 [period]
    sine: in f32 [period]
    re: in f32 [settings bins]
    im: in f32 [settings bins]
    away: in f32 [settings bins]
    grown: in f32 [settings bins]
    penalty: in f32 [settings]
    scratch: inout f32 [room]
    height: inout f32 [n]
    place: inout f32 [n]
    setting: inout f32 [n]
    missed: inout f32 [n]
    corner: i32
    begin: i64
    end: i64
    """,
    items="n",
)

MATRIX_RESIDUE = Kernel(
    "matrix_residue",
    "deconvolution.cu",
    """
    change: in f32 [frame n]
    mask: in u8 [n]
    response: in f32 [frame frame]
    away: in f32 [frame frame]
    height: out f32 [n]
    place: out f32 [n]
    missed: out f32 [n]
    """,
    items="n",
)

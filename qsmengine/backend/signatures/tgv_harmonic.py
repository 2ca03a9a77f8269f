"""Signatures of kernels/tgv_harmonic.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

TGV_HARMONIC_KSPACE_STEP = Kernel(
    "tgv_harmonic_kspace_step",
    "tgv_harmonic.cu",
    """
    gx: inout c64 [nx ny nh]
    g1: inout c64 [nx ny nh]
    g2: inout c64 [nx ny nh]
    g3: inout c64 [nx ny nh]
    data: inout c64 [nx ny nh]
    harmonic: inout c64 [nx ny nh]
    response: in f32 [nx ny nh]
    ex: in c64 [nx]
    ey: in c64 [ny]
    ez: in c64 [nh]
    mu1: f32
    mu0: f32
    mu2: f32
    mu3: f32
    scale: f32
    """,
    items="nx ny nh",
)
